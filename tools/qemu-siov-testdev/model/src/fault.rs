// SPDX-License-Identifier: GPL-2.0

//! The fault registers of an ADI.

use siov_testdev_regs::{FaultReason, FaultSource, FaultStatus};
use siov_types::{Iova, Pasid};

/// A request that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: FaultReason,
    pub(crate) source: FaultSource,
    pub(crate) write: bool,
    pub(crate) pasid: Option<Pasid>,
    pub(crate) address: Iova,
}

/// The first fault since the record was cleared, and how many there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FaultRecord {
    status: FaultStatus,
    pasid: u32,
    address: u64,
    count: u32,
}

impl FaultRecord {
    pub(crate) fn record(&mut self, fault: Fault) {
        self.count = self.count.saturating_add(1);
        if self.status.is_valid() {
            self.status = self.status.overflowed();
            return;
        }
        self.status = FaultStatus::new(
            fault.reason,
            fault.source,
            fault.write,
            fault.pasid.is_some(),
        );
        self.pasid = fault.pasid.map_or(0, Pasid::raw);
        self.address = fault.address.raw();
    }

    /// A write to the status register.
    pub(crate) fn write_status(&mut self, value: u32) {
        if value & FaultStatus::VALID != 0 {
            *self = Self {
                count: self.count,
                ..Self::default()
            };
        }
    }

    pub(crate) fn status(&self) -> FaultStatus {
        self.status
    }

    pub(crate) fn pasid(&self) -> u32 {
        self.pasid
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_stays_until_it_is_cleared() {
        let fault = |address, reason| Fault {
            reason,
            source: FaultSource::Source,
            write: false,
            pasid: Pasid::new(7),
            address: Iova::new(address),
        };
        let mut r = FaultRecord::default();
        r.record(fault(0x1000, FaultReason::Blocked));
        r.record(fault(0x2000, FaultReason::PasidOff));
        assert_eq!((r.address(), r.pasid(), r.count()), (0x1000, 7, 2));
        assert!(r.status().is_overflow());
        r.write_status(FaultStatus::OVERFLOW);
        assert!(r.status().is_valid());
        r.write_status(FaultStatus::VALID);
        assert_eq!(r.status(), FaultStatus::default());
        assert_eq!((r.address(), r.pasid(), r.count()), (0, 0, 2));
        r.record(fault(0x3000, FaultReason::PasidOff));
        assert_eq!(r.status().reason(), Some(FaultReason::PasidOff));
        assert!(!r.status().is_overflow());
    }
}
