// SPDX-License-Identifier: GPL-2.0

//! The error vector: requests of ADIs that failed, for their users and for the log.

use crate::hardware::Hardware;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::pci::driver::{Function, Handler};
use linux::pci::DeviceExt;
use linux::ratelimit::RateLimit;
use linux::Show;

pub(crate) struct Faults {
    hardware: Arc<Hardware>,
    dev: ARef<Device>,
    limit: Pin<KBox<RateLimit>>,
}

impl Faults {
    pub(crate) fn new(hardware: Arc<Hardware>, function: &Function<'_>) -> Result<Self> {
        Ok(Self {
            hardware,
            dev: function.as_dev().into(),
            limit: KBox::pin_init(RateLimit::new(5, 10, c"siov_testdev faults"), GFP_KERNEL)?,
        })
    }
}

impl Handler for Faults {
    fn handle(&self) {
        self.hardware.drain_faults(|adi, record| {
            if self.limit.allows() {
                dev_warn!(
                    self.dev,
                    "ADI {adi}: request to {:#x} failed: {}\n",
                    record.address,
                    Show(Reason(record.reason))
                );
            }
        });
    }
}

/// Why a request failed, in words (Documentation/siov-testdev.rst, "Faults").
struct Reason(u32);

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use siov_testdev_regs::FaultReason as R;
        f.write_str(match R::from_raw(self.0) {
            Some(R::Blocked) => "blocked",
            Some(R::BusMasterOff) => "bus mastering is off",
            Some(R::PasidOff) => "PASID is off",
            Some(R::PasidUnsupported) => "no IOMMU takes PASIDs",
            Some(R::UntaggedForbidden) => "without PASID",
            Some(R::PasidTooWide) => "the PASID is too wide",
            None => "for an unknown reason",
        })
    }
}
