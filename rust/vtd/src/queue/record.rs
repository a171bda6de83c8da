// SPDX-License-Identifier: GPL-2.0

//! What the registers say about errors of the invalidation queue (VT-d spec, 6.5.2.10 and
//! 11.4.9.9).

use core::fmt;

use siov_types::Bdf;

use super::{QueueSize, Slot};
use crate::bits::Field;
use crate::regs::FaultStatus;

/// Where the queue has stopped, by the flag that FSTS shows (VT-d spec, 6.5.2.10).
///
/// After an invalidation queue error (IQE), the head stays at the descriptor that was refused.
/// After a time-out (ITE), the head has moved past what was fetched: the descriptors from the
/// oldest one that is still unfinished up to the head are lost, waits included, and have to be
/// queued again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// IQE.
    Iqe {
        /// The descriptor that was refused.
        slot: Slot,
    },
    /// ITE.
    Ite {
        /// The last descriptor that was fetched.
        last: Slot,
    },
}

impl Stop {
    /// Reads FSTS and IQH; `None` when the queue has not stopped, or when IQH points outside it.
    pub const fn new(size: QueueSize, status: FaultStatus, head_register: u64) -> Option<Self> {
        let Some(head) = size.slot(head_register) else {
            return None;
        };
        if status.contains(FaultStatus::IQE) {
            Some(Self::Iqe { slot: head })
        } else if status.contains(FaultStatus::ITE) {
            Some(Self::Ite {
                last: size.before(head),
            })
        } else {
            None
        }
    }
}

/// Invalidation queue error record register (VT-d spec, 11.4.9.9): details of what FSTS reports.
/// Units older than version 4 of the specification leave it 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct QueueErrorRecord(u64);

impl QueueErrorRecord {
    const IQEI: Field = Field::new(3, 0);
    const ITESID: Field = Field::new(47, 32);
    const ICESID: Field = Field::new(63, 48);

    /// Wraps what the register reads as.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// IQEI: why a descriptor was refused. Valid while FSTS shows IQE.
    pub const fn reason(self) -> QueueErrorReason {
        QueueErrorReason(Self::IQEI.get(self.0) as u8)
    }

    /// ITESID: the function that did not answer. Valid while FSTS shows ITE; `None` where the unit
    /// does not say.
    pub const fn timed_out(self) -> Option<Bdf> {
        Self::source(Self::ITESID.get(self.0))
    }

    /// ICESID: the function that sent an unexpected completion. Valid while FSTS shows ICE; `None`
    /// where the unit does not say.
    pub const fn unexpected_completion(self) -> Option<Bdf> {
        Self::source(Self::ICESID.get(self.0))
    }

    const fn source(raw: u64) -> Option<Bdf> {
        match raw {
            0 => None,
            _ => Some(Bdf::from_raw(raw as u16)),
        }
    }
}

/// IQEI: why the queue refused a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueErrorReason(u8);

impl QueueErrorReason {
    /// The encoding.
    pub const fn raw(self) -> u8 {
        self.0
    }
}

impl fmt::Display for QueueErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no details available",
            1 => "the tail lies outside the queue",
            2 => "the descriptor could not be read",
            3 => "unknown descriptor type or granularity",
            4 => "reserved bits set in the descriptor",
            5 => "descriptor width does not fit the translation mode",
            6 => "the tail is not aligned to the descriptor width",
            7 => "the root table has an invalid translation table mode",
            other => return write!(f, "unknown reason {other:#x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn slot(number: u16) -> Slot {
        QueueSize::MIN.after(Slot::FIRST, number)
    }

    #[test]
    fn stops() {
        let size = QueueSize::MIN;
        let stop = |status, head| Stop::new(size, FaultStatus::from_bits_retain(status), head);
        assert_eq!(stop(0x10, 0x60), Some(Stop::Iqe { slot: slot(3) }));
        assert_eq!(stop(0x40, 0x60), Some(Stop::Ite { last: slot(2) }));
        assert_eq!(stop(0x40, 0), Some(Stop::Ite { last: slot(127) }));
        assert_eq!(stop(0x20, 0x60), None);
        assert_eq!(stop(0x10, 0x7_ffff), None);
    }

    #[test]
    fn error_records() {
        let r = QueueErrorRecord::from_raw(0x1234_3a1d_0000_0004);
        assert_eq!(
            format!("{}", r.reason()),
            "reserved bits set in the descriptor"
        );
        assert_eq!(r.timed_out(), Some(Bdf::from_raw(0x3a1d)));
        assert_eq!(r.unexpected_completion(), Some(Bdf::from_raw(0x1234)));
        let r = QueueErrorRecord::from_raw(0x9);
        assert_eq!((r.timed_out(), r.unexpected_completion()), (None, None));
        assert_eq!(format!("{}", r.reason()), "unknown reason 0x9");
    }
}
