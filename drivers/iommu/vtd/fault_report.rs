// SPDX-License-Identifier: GPL-2.0

//! Blocked requests in the log, and reported to those who registered for them.

use crate::device::Device;
use crate::devices::DeviceList;
use crate::faults::Found;
use crate::sys;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;
use linux::iommu::{DmaFault, FaultAccess};
use linux::pci::DeviceExt;
use linux::ratelimit::RateLimit;
use linux::Show;
use siov_vtd::fault::{Access, FaultRecord};

/// Reports the faults of one unit.
#[pin_data]
pub(crate) struct FaultReport {
    unit: CString,
    devices: Arc<DeviceList<Device>>,
    #[pin]
    limit: RateLimit,
}

impl FaultReport {
    /// For the unit of this name, with these devices.
    pub(crate) fn new(unit: CString, devices: Arc<DeviceList<Device>>) -> impl PinInit<Self> {
        pin_init!(Self {
            unit,
            devices,
            limit <- RateLimit::new(5, 10, c"vtd blocked requests"),
        })
    }

    /// Reports what was found. May be called in interrupt context: whoever removes a device waits
    /// for the report before the last reference to the device is dropped.
    pub(crate) fn report(&self, found: Found) {
        match found {
            Found::Record(record) => self.report_record(&record),
            Found::Overflow if self.limit.allows() => {
                pr_err!(
                    "{}: vtd fault: fault recording overflow (PFO), records lost\n",
                    &*self.unit
                );
            }
            Found::Overflow => {}
        }
    }

    fn report_record(&self, record: &FaultRecord) {
        let device = self.devices.find(record.source());
        if let Some(device) = &device {
            device.count_fault();
            notify(device, record);
        }
        if !self.limit.allows() {
            return;
        }
        match &device {
            Some(device) => dev_err!(device.pci().as_dev(), "vtd fault: {}\n", Show(record)),
            None => pr_err!("{}: vtd fault: {}\n", &*self.unit, Show(record)),
        }
    }
}

/// Reports a fault outside of this driver.
fn notify(device: &Device, record: &FaultRecord) {
    let mut access = FaultAccess::empty();
    access.set(FaultAccess::WRITE, record.access() != Access::Read);
    access.set(FaultAccess::EXEC, record.execute());
    access.set(FaultAccess::PRIV, record.privileged());
    sys::notify(&DmaFault {
        dev: device.pci().as_dev().into(),
        pasid: record.pasid(),
        page: record.page(),
        access,
        reason: record.reason().raw().into(),
    });
}
