// SPDX-License-Identifier: GPL-2.0

//! Errors: numbers that the kernel crate has no name for, and one that is reported.

use kernel::alloc::AllocError;
use kernel::error::Error;
use kernel::prelude::*;
use kernel::task::Pid;
use linux::bindings;
use siov_type1::Refusal;

/// `EOVERFLOW`: a range that ends past the last address.
pub(crate) fn eoverflow() -> Error {
    Error::from_errno(-(bindings::EOVERFLOW as i32))
}

/// The error of a malformed request.
pub(crate) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Invalid => EINVAL,
        Refusal::Overflow => eoverflow(),
    }
}

/// Why memory could not be mapped or pinned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process may not lock as much memory, by its `RLIMIT_MEMLOCK` (`ENOMEM`).
    MemoryLimit(Pid),
    /// They are registers of a VFIO device of this group, which is not in the container (`EPERM`).
    ForeignRegisters(i32),
    /// Devices of this group could raise any interrupt (`EPERM`).
    UnsafeInterrupts(i32),
    /// Anything else.
    Other(Error),
}

impl Failure {
    /// What user space gets to see.
    pub(crate) fn error(self) -> Error {
        match self {
            Self::MemoryLimit(_) => ENOMEM,
            Self::ForeignRegisters(_) | Self::UnsafeInterrupts(_) => EPERM,
            Self::Other(e) => e,
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

impl From<AllocError> for Failure {
    fn from(e: AllocError) -> Self {
        Self::Other(e.into())
    }
}
