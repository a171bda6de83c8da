// SPDX-License-Identifier: GPL-2.0

//! Giving devices back while the machine runs.
//!
//! The IOMMU core holds a reference to this module for each device that it has probed, so the module
//! cannot be unloaded until the units are unregistered. That is safe when nobody holds the DMA of a
//! group: its devices have no driver, or one that does no DMA (a port's), or one that was at work
//! before the module was loaded, whose requests have passed through all the time.
//!
//! Between the check and the end of the release a driver must not be bound to a device: whoever
//! unloads an IOMMU driver has to see to that.

use crate::driver::Vtd;
use crate::unit::UnitRef;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use linux::iommu::Registration;

/// The units in the hands of the IOMMU core.
#[pin_data]
pub(crate) struct Registrations {
    #[pin]
    list: Mutex<KVec<Registration<Vtd>>>,
}

impl Registrations {
    /// Takes over `list`.
    pub(crate) fn new(list: KVec<Registration<Vtd>>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(list, "vtd registrations"),
            }),
            GFP_KERNEL,
        )
    }

    /// Unregisters all units, unless a device depends on one.
    ///
    /// # Errors
    ///
    /// `EBUSY` after a line for each such device.
    pub(crate) fn release(&self) -> Result {
        let mut list = self.list.lock();
        for registration in &*list {
            registration.unit().set_leaving(true);
        }
        let dependants: usize = list.iter().map(|r| report_dependants(r.unit())).sum();
        if dependants != 0 {
            for registration in &*list {
                registration.unit().set_leaving(false);
            }
            return Err(EBUSY);
        }
        let count = list.len();
        list.clear();
        if count != 0 {
            pr_info!(
                "{count} units released: all DMA passes untranslated; the module can be unloaded\n"
            );
        }
        Ok(())
    }
}

/// Says which devices behind `unit` depend on it, and returns how many.
fn report_dependants(unit: &UnitRef) -> usize {
    let mut count = 0;
    unit.faults().for_each_device(|device| {
        let pdev = device.pci();
        if pdev.is_bound() && pdev.dma_is_claimed() {
            dev_warn!(
                pdev.as_dev(),
                "depends on {}: unbind its driver\n",
                unit.name()
            );
            count += 1;
        }
    });
    count
}
