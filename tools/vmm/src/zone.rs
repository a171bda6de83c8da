// SPDX-License-Identifier: GPL-2.0

//! Registering zones.

use crate::Vm;
use anyhow::{Context, Result};
use kvm_bindings::{kvm_coalesced_mmio_zone, kvm_coalesced_mmio_zone__bindgen_ty_1};
use kvm_ioctls::Cap;
use siov_ring::Space;
use std::os::fd::AsRawFd;

/// A range of addresses; plain data, so that nonsense can be asked for as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zone {
    /// Guest physical address, or port.
    pub addr: u64,
    /// Bytes.
    pub size: u32,
    /// 1 for ports, 0 for memory.
    pub pio: u32,
}

mod request {
    use kvm_bindings::kvm_coalesced_mmio_zone;
    nix::ioctl_write_ptr!(register, 0xae, 0x67, kvm_coalesced_mmio_zone);
    nix::ioctl_write_ptr!(unregister, 0xae, 0x68, kvm_coalesced_mmio_zone);
}

impl Zone {
    /// Of ports.
    pub const fn pio(addr: u16, size: u32) -> Self {
        Self {
            addr: addr as u64,
            size,
            pio: Space::Pio.raw(),
        }
    }

    /// Of memory.
    pub const fn mmio(addr: u64, size: u32) -> Self {
        Self {
            addr,
            size,
            pio: Space::Mmio.raw(),
        }
    }

    fn raw(self) -> kvm_coalesced_mmio_zone {
        kvm_coalesced_mmio_zone {
            addr: self.addr,
            size: self.size,
            __bindgen_anon_1: kvm_coalesced_mmio_zone__bindgen_ty_1 { pio: self.pio },
        }
    }

    /// `KVM_REGISTER_COALESCED_MMIO`.
    ///
    /// # Errors
    ///
    /// Those of the ioctl.
    pub fn register(self, vm: &Vm) -> Result<()> {
        // SAFETY: The argument is the structure that the request is defined with.
        unsafe { request::register(vm.fd().as_raw_fd(), &self.raw()) }
            .map(drop)
            .with_context(|| format!("register {self:x?}"))
    }

    /// `KVM_UNREGISTER_COALESCED_MMIO`: every zone that contains this one goes.
    ///
    /// # Errors
    ///
    /// Those of the ioctl.
    pub fn unregister(self, vm: &Vm) -> Result<()> {
        // SAFETY: The argument is the structure that the request is defined with.
        unsafe { request::unregister(vm.fd().as_raw_fd(), &self.raw()) }
            .map(drop)
            .with_context(|| format!("unregister {self:x?}"))
    }
}

/// What became of a wish for coalescing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fallback {
    /// The kernel coalesces the writes.
    Coalesced,
    /// The kernel cannot, so each write is an exit. Nothing else changes.
    Exits,
}

impl Zone {
    /// Registers the zone if the kernel has the capability for its space: an old kernel would take
    /// a range of ports for one of memory, because it ignored what is `pio` now.
    ///
    /// # Errors
    ///
    /// Those of the ioctl.
    pub fn register_if_possible(self, vm: &Vm) -> Result<Fallback> {
        // The capability for memory is also that of the ring.
        let ports = self.pio == Space::Pio.raw();
        if !vm.has(Cap::CoalescedMmio) || ports && !vm.has(Cap::CoalescedPio) {
            return Ok(Fallback::Exits);
        }
        self.register(vm)?;
        Ok(Fallback::Coalesced)
    }
}
