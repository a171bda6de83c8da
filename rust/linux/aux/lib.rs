// SPDX-License-Identifier: GPL-2.0

//! Auxiliary domains for drivers in Rust: several IOMMU domains for one device, told apart by PASID.
//!
//! ```ignore
//! let enabled = Arc::new(Enabled::new(dev)?, GFP_KERNEL)?;
//! let domain = Arc::new(OwnedDomain::new(Translated::new(dev).ok_or(ENODEV)?)?, GFP_KERNEL)?;
//! let attachment = Attachment::new(enabled, domain)?;
//! hardware.set_pasid(attachment.pasid());
//! ```
//!
//! C header: `include/linux/iommu-aux.h`

mod c;
mod fault;

pub use fault::{FaultHandler, OnFault};

use kernel::device::{Bound, Device};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::iommu::{AnyDomain, OwnedDomain};
use siov_types::Pasid;

/// Whether `dev` has PASIDs, and an IOMMU whose driver attaches domains to them.
pub fn is_capable(dev: &Device<Bound>) -> bool {
    c::iommu_aux_capable(dev)
}

/// The PASID of a domain that is attached in auxiliary mode.
///
/// # Errors
///
/// `ENODEV` for one that is not.
pub fn auxiliary_id(domain: &AnyDomain) -> Result<Pasid> {
    let id = c::iommu_auxiliary_id(domain);
    to_result(id)?;
    u32::try_from(id).ok().and_then(Pasid::new).ok_or(ENODEV)
}

/// A device that may have auxiliary domains, until this is dropped or its driver is unbound.
pub struct Enabled(ARef<Device>);

impl Enabled {
    /// Lets `dev` have auxiliary domains.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a device that is not [capable](is_capable); `EBUSY` for one that is enabled.
    pub fn new(dev: &Device<Bound>) -> Result<Self> {
        to_result(c::iommu_enable_aux_domain(dev))?;
        Ok(Self((&**dev).into()))
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.0
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // After its driver was unbound this is refused, and changes nothing.
        c::iommu_disable_aux_domain(&self.0);
    }
}

/// A domain that translates the requests of its PASID, until this is dropped.
///
/// By then the device has been told to send no more of them: the PASID may get another domain.
pub struct Attachment {
    // Dropped last, so that nothing is attached when they go.
    device: Arc<Enabled>,
    domain: Arc<OwnedDomain>,
    pasid: Pasid,
}

impl Attachment {
    /// Attaches `domain` to `device` in auxiliary mode.
    ///
    /// # Errors
    ///
    /// Those of `iommu_aux_attach_device()`.
    pub fn new(device: Arc<Enabled>, domain: Arc<OwnedDomain>) -> Result<Self> {
        to_result(c::iommu_aux_attach_device(&domain, device.device()))?;
        let pasid = auxiliary_id(&domain)
            .inspect_err(|_| c::iommu_aux_detach_device(&domain, device.device()))?;
        Ok(Self {
            device,
            domain,
            pasid,
        })
    }

    /// What the hardware must tag its requests with.
    pub fn pasid(&self) -> Pasid {
        self.pasid
    }

    /// The domain.
    pub fn domain(&self) -> &Arc<OwnedDomain> {
        &self.domain
    }

    /// Has `listener` called for each request that the IOMMU blocked, as far as it tells.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the IOMMU's driver tells nobody.
    pub fn on_fault<T: OnFault>(&self, listener: T) -> Result<Pin<KBox<FaultHandler<T>>>> {
        FaultHandler::new(&self.domain, self.device.device(), listener)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        c::iommu_aux_detach_device(&self.domain, self.device.device());
    }
}
