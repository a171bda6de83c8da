// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with the hardware, in words.

use kernel::alloc::AllocError;
use kernel::error::Error;
use kernel::fmt;
use kernel::prelude::*;
use siov_vtd::queue::{QueueErrors, Sources};
use siov_vtd::regs::{GlobalCommand, GlobalStatus};

/// Why a unit cannot be used, or an operation on it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The unit did not carry out a command in time.
    Command(GlobalCommand),
    /// The unit did not end firmware's protected memory regions in time.
    ProtectedMemory,
    /// Already enabled by another driver.
    AlreadyEnabled(GlobalStatus),
    /// Somebody has claimed the registers.
    Claimed,
    /// The registers cannot be mapped.
    Unmapped,
    /// Registers read as all ones: there is nothing behind the address.
    Absent,
    /// No scalable mode, or a part of it is missing that this driver needs.
    Lacks(&'static str),
    /// The invalidation queue refused a descriptor.
    Iqe,
    /// A device did not answer an invalidation in time.
    Ite(Sources),
    /// The invalidation queue does not move.
    QueueStalled,
    /// A kernel function failed.
    Kernel(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<AllocError> for Failure {
    fn from(error: AllocError) -> Self {
        Self::Kernel(error.into())
    }
}

/// The gravest of what was found.
impl From<QueueErrors> for Failure {
    fn from(errors: QueueErrors) -> Self {
        if errors.stalled() {
            Self::QueueStalled
        } else if errors.iqe() {
            Self::Iqe
        } else {
            Self::Ite(*errors.ite())
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::AlreadyEnabled(_) | Failure::Claimed => EBUSY,
            Failure::Lacks(_) | Failure::Absent => ENODEV,
            Failure::Unmapped => ENOMEM,
            Failure::Command(_)
            | Failure::ProtectedMemory
            | Failure::Iqe
            | Failure::Ite(_)
            | Failure::QueueStalled => EIO,
            Failure::Kernel(error) => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(what) => write!(f, "command {what:?} was not carried out"),
            Self::ProtectedMemory => f.write_str("the protected memory regions stay in force"),
            Self::AlreadyEnabled(status) => {
                f.write_str("already in use:")?;
                for (flag, text) in [
                    (GlobalStatus::TES, " DMA translation is on"),
                    (GlobalStatus::QIES, " queued invalidation is on"),
                    (GlobalStatus::IRES, " interrupt remapping is on"),
                ] {
                    if status.contains(flag) {
                        f.write_str(text)?;
                        f.write_str(",")?;
                    }
                }
                f.write_str(
                    " so the kernel's own driver has it: boot with intel_iommu=off intremap=off, \
                     or keep that driver and load iommu_aux alone",
                )
            }
            Self::Claimed => f.write_str(
                "the registers are claimed, see /proc/iomem: boot with intel_iommu=off intremap=off",
            ),
            Self::Unmapped => f.write_str("the registers cannot be mapped"),
            Self::Absent => f.write_str("no unit answers at this address"),
            Self::Lacks(what) => write!(
                f,
                "no {what}: this driver needs it, the kernel's own does not (intel_iommu=on)"
            ),
            Self::Iqe => f.write_str("invalidation queue error (IQE)"),
            Self::Ite(sources) => {
                write!(f, "device-TLB invalidation timed out (ITE): {sources}")
            }
            Self::QueueStalled => f.write_str("invalidation queue stalled"),
            Self::Kernel(error) => write!(f, "error {}", error.to_errno()),
        }
    }
}
