// SPDX-License-Identifier: GPL-2.0

//! The page in which the writes wait.

use crate::memory::Mapping;
use anyhow::{ensure, Result};
use siov_ring::Ring;
use std::ops::Deref;
use std::os::fd::AsRawFd;

/// The ring of a VM. Every vCPU's file maps the same one.
#[derive(Debug)]
pub struct SharedRing(Mapping);

impl SharedRing {
    /// Maps the ring through the file of a vCPU, `page_offset` pages behind its beginning: what
    /// `KVM_CAP_COALESCED_MMIO` says.
    ///
    /// # Errors
    ///
    /// Those of mmap(2), or when there is no such capability.
    pub fn map(vcpu: &impl AsRawFd, page_offset: i32) -> Result<Self> {
        ensure!(page_offset > 0, "KVM has no coalesced MMIO");
        let offset = page_offset as usize * Ring::BYTES;
        Ok(Self(Mapping::of_file(
            vcpu.as_raw_fd(),
            offset,
            Ring::BYTES,
        )?))
    }
}

impl Deref for SharedRing {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        // SAFETY: The mapping is a page, as long and aligned as a ring is, and lives as long as
        // `self`. The ring consists of atomics, which the kernel may change.
        unsafe { &*self.0.at(0, Ring::BYTES).cast() }
    }
}
