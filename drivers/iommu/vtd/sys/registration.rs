// SPDX-License-Identifier: GPL-2.0

//! Units in the hands of the IOMMU core, which give up devices whose drivers know of no IOMMU.

use crate::driver::Vtd;
use crate::unit::UnitRef;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::driver::{Core, Registration};

/// A unit in the hands of the IOMMU core; dropping it is [`Self::unregister`].
pub(crate) struct UnitRegistration(Registration<Vtd>);

impl UnitRegistration {
    /// Registers `unit`.
    ///
    /// # Errors
    ///
    /// Those of [`Registration::new`].
    pub(crate) fn new(unit: &UnitRef, core: &Arc<Core<Vtd>>) -> Result<Self> {
        let registration = Registration::new(unit.clone(), core.clone(), unit.name())?;
        Ok(Self(registration))
    }

    /// The unit.
    pub(crate) fn unit(&self) -> &UnitRef {
        self.0.unit()
    }

    /// Gives all devices of the unit back.
    ///
    /// # Errors
    ///
    /// `EBUSY` when one is in use, or has a driver that may use the IOMMU; `ENOMEM`.
    pub(crate) fn unregister(&mut self) -> Result {
        // SAFETY: The driver core makes a driver that it binds an owner of the device's group. One
        // that is not was bound before the device had a group: it has found no IOMMU. The driver
        // has made the identity domain the default of such a device, so the DMA API does not use
        // the IOMMU. Rust code has the IOMMU of a device from `Driven`, whose device is locked, and
        // auxiliary domains only where its driver owns the group.
        unsafe { self.0.unregister_with(|_| true) }
    }
}

impl Drop for UnitRegistration {
    fn drop(&mut self) {
        // If it fails, so does dropping the registration, and unit and module stay.
        let _ = self.unregister();
    }
}
