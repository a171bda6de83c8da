// SPDX-License-Identifier: GPL-2.0

//! Auxiliary domains for drivers in Rust: several IOMMU domains for one device, distinguished by
//! PASID.
//!
//! # Examples
//!
//! ```ignore
//! let enabled = Arc::new(Enabled::new(dev)?, GFP_KERNEL)?;
//! let domain = Arc::new(OwnedDomain::new(IommuDevice::new(dev).ok_or(ENODEV)?)?, GFP_KERNEL)?;
//! let attachment = Attachment::new(enabled, domain)?;
//! hardware.set_pasid(attachment.pasid());
//! ```
//!
//! C header: `include/linux/iommu-aux.h`

mod fault;

pub use fault::{FaultHandler, OnFault};

use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::bindings;
use linux::device::Driven;
use linux::iommu::{AnyDomain, OwnedDomain};
use linux::object::Object;
use siov_types::Pasid;

/// Whether `dev` has PASIDs, and an IOMMU whose driver attaches domains to them, and which was
/// there when the driver of `dev` was bound.
pub fn is_capable<'a>(dev: impl Into<Driven<'a>>) -> bool {
    let dev = dev.into().device();
    // SAFETY: The device is valid, and its driver stays bound: it is locked.
    unsafe { bindings::iommu_aux_capable(dev.as_raw()) }
}

/// The PASID of a domain that is attached in auxiliary mode.
///
/// # Errors
///
/// `ENODEV` for one that is not.
pub fn auxiliary_id(domain: &AnyDomain) -> Result<Pasid> {
    // SAFETY: The domain is valid.
    let id = unsafe { bindings::iommu_auxiliary_id(domain.as_raw()) };
    to_result(id)?;
    u32::try_from(id).ok().and_then(Pasid::new).ok_or(ENODEV)
}

/// A device that may have auxiliary domains, until this is dropped or its driver is unbound.
pub struct Enabled {
    dev: ARef<Device>,
    /// The binding of the driver, with which this ends.
    binding: u64,
}

impl Enabled {
    /// Lets `dev` have auxiliary domains.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a device that is not [capable](is_capable); `EBUSY` for one that is
    /// enabled.
    pub fn new<'a>(dev: impl Into<Driven<'a>>) -> Result<Self> {
        let dev = dev.into().device();
        // SAFETY: The device is valid, and its driver stays bound: it is locked.
        to_result(unsafe { bindings::iommu_enable_aux_domain(dev.as_raw()) })?;
        Ok(Self {
            dev: dev.into(),
            // SAFETY: The device is valid, and its driver stays bound.
            binding: unsafe { bindings::iommu_aux_binding(dev.as_raw()) },
        })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.dev
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: The device is valid. After its driver was unbound this is refused, and changes
        // nothing.
        unsafe { bindings::iommu_aux_disable_binding(self.dev.as_raw(), self.binding) };
    }
}

/// A domain that translates the requests of its PASID, until this is dropped.
///
/// By then the device must have been set up to send no more of them: the PASID may get another
/// domain.
pub struct Attachment {
    // Dropped last, so that nothing is attached to them any more.
    device: Arc<Enabled>,
    domain: Arc<OwnedDomain>,
    pasid: Pasid,
}

impl Attachment {
    /// Attaches `domain` to `device` in auxiliary mode.
    ///
    /// # Errors
    ///
    /// Those of `iommu_aux_attach_binding()`.
    pub fn new(device: Arc<Enabled>, domain: Arc<OwnedDomain>) -> Result<Self> {
        let (raw_domain, raw_device) = (domain.as_raw(), device.device().as_raw());
        // SAFETY: Both are valid. The domain is kept by the result, which is dropped after it is
        // detached, or for ever when that is not dropped.
        to_result(unsafe {
            bindings::iommu_aux_attach_binding(raw_domain, raw_device, device.binding)
        })?;
        match auxiliary_id(&domain) {
            Ok(pasid) => Ok(Self {
                device,
                domain,
                pasid,
            }),
            Err(e) => {
                // SAFETY: Both are valid; just attached.
                unsafe {
                    bindings::iommu_aux_detach_binding(raw_domain, raw_device, device.binding)
                };
                Err(e)
            }
        }
    }

    /// What the hardware must tag its requests with.
    pub fn pasid(&self) -> Pasid {
        self.pasid
    }

    /// The domain.
    pub fn domain(&self) -> &Arc<OwnedDomain> {
        &self.domain
    }

    /// Has `listener` called for each request that the IOMMU blocked, as far as it reports them.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the IOMMU's driver reports none.
    pub fn on_fault<T: OnFault>(&self, listener: T) -> Result<Pin<KBox<FaultHandler<T>>>> {
        FaultHandler::new(&self.domain, self.device.device(), listener)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let (domain, device) = (self.domain.as_raw(), self.device.device().as_raw());
        // SAFETY: Both are valid; attached in `new`, and if the driver was unbound meanwhile,
        // refused, also if it was attached again.
        unsafe { bindings::iommu_aux_detach_binding(domain, device, self.device.binding) };
    }
}
