// SPDX-License-Identifier: GPL-2.0

//! Giving devices back while the machine runs.
//!
//! The IOMMU core holds a reference to this module for each device that it has probed, so the
//! module cannot be unloaded until the units are unregistered. That is safe when DMA ownership of
//! no group is claimed: its devices have no driver, or one that does no DMA (a port's), or one that
//! was at work before the module was loaded, whose requests have passed through all the time.
//!
//! [`UnitRegistration::unregister`] checks this for one unit after the other, with the devices'
//! locks held, so that no driver is bound until the unit is unregistered. The check for all units
//! before that says which devices are in the way, and leaves all units alone if there is one.

use crate::sys::UnitRegistration;
use crate::unit::UnitRef;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use linux::pci::DeviceExt;

/// The units in the hands of the IOMMU core.
#[pin_data]
pub(crate) struct Registrations {
    #[pin]
    list: Mutex<KVec<UnitRegistration>>,
}

impl Registrations {
    /// Takes over `list`.
    pub(crate) fn new(list: KVec<UnitRegistration>) -> Result<Arc<Self>> {
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
    /// `EBUSY` after a line for each such device, or for a unit that is in use otherwise; `ENOMEM`.
    pub(crate) fn release(&self) -> Result {
        let mut list = self.list.lock();
        let mut dependants: usize = list.iter().map(|r| report_dependants(r.unit())).sum();
        for unit in list.iter().map(|r| r.unit()).filter(|u| u.stays_on()) {
            pr_warn!(
                "{}: its graphics device hangs when translation is off\n",
                unit.name()
            );
            dependants += 1;
        }
        let unregister = |registration: &mut UnitRegistration| {
            registration.unregister().inspect_err(|_| {
                pr_warn!(
                    "{}: in use by a driver of its devices: unbind it\n",
                    registration.unit().name()
                );
            })
        };
        if dependants != 0 {
            return Err(EBUSY);
        }
        list.iter_mut().try_for_each(unregister)?;
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

/// Logs which devices of `unit` depend on it, and returns how many.
fn report_dependants(unit: &UnitRef) -> usize {
    let mut count = 0;
    unit.devices().for_each(|device| {
        let claimed = device.group().is_some_and(|g| g.dma_owner_claimed());
        if device.pci().is_bound() && claimed {
            dev_warn!(
                device.pci().as_dev(),
                "depends on {}: unbind its driver\n",
                unit.name()
            );
            count += 1;
        }
    });
    count
}
