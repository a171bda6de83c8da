// SPDX-License-Identifier: GPL-2.0

//! PASIDs, and domains that are attached to them.

use super::{AnyDomain, IommuDevice};
use crate::bindings;
use crate::error::eopnotsupp;
use crate::object::Object;
use core::ptr::NonNull;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use siov_types::Pasid;

/// A PASID that is unique on this machine and belongs to its holder.
pub struct GlobalPasid(Pasid);

impl GlobalPasid {
    /// One that `dev` has; `None` when there is none left.
    pub fn new(dev: IommuDevice<'_>) -> Option<Self> {
        // SAFETY: The device has an IOMMU.
        let raw = unsafe { bindings::iommu_alloc_global_pasid(dev.device().as_raw()) };
        // What is no PASID is IOMMU_PASID_INVALID.
        Pasid::new(raw).map(Self)
    }

    /// The number.
    #[inline]
    pub fn get(&self) -> Pasid {
        self.0
    }
}

impl Drop for GlobalPasid {
    fn drop(&mut self) {
        // SAFETY: Allocated in `new`, and ours.
        unsafe { bindings::iommu_free_global_pasid(self.0.raw()) };
    }
}

/// A domain that translates one PASID of a device, and of the other devices in its group. Dropping
/// it detaches the domain: from then on, requests with the PASID are blocked.
///
/// # Invariants
///
/// `domain` and `dev` exist as long as this does, and so does the attachment.
pub struct PasidAttachment {
    domain: NonNull<AnyDomain>,
    dev: NonNull<Device>,
    pasid: Pasid,
}

// SAFETY: Domains may be detached in any thread.
unsafe impl Send for PasidAttachment {}
// SAFETY: What a reference allows is reading what does not change.
unsafe impl Sync for PasidAttachment {}

impl PasidAttachment {
    /// Attaches `domain` to `pasid` of `dev`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the PASID has a domain; `EOPNOTSUPP` for a domain that cannot be attached to
    /// PASIDs; `EINVAL` for a domain of another IOMMU driver or a PASID that the device does not
    /// have; what the IOMMU driver returns.
    ///
    /// # Safety
    ///
    /// The domain and the device are not freed, and the device is not removed from the system,
    /// before the result is dropped.
    #[inline]
    pub unsafe fn new(domain: &AnyDomain, dev: IommuDevice<'_>, pasid: Pasid) -> Result<Self> {
        if !domain.takes_pasids() {
            return Err(eopnotsupp());
        }
        let (device, no_handle) = (dev.device(), core::ptr::null_mut());
        // SAFETY: Domain and device are valid, and stay until they are detached, as required of us.
        to_result(unsafe {
            bindings::iommu_attach_device_pasid(
                domain.as_raw(),
                device.as_raw(),
                pasid.raw(),
                no_handle,
            )
        })?;
        // INVARIANT: As required of us, and just attached.
        Ok(Self {
            domain: domain.into(),
            dev: device.into(),
            pasid,
        })
    }

    /// The device.
    #[inline]
    pub fn device(&self) -> &Device {
        // SAFETY: By the invariant.
        unsafe { self.dev.as_ref() }
    }
}

impl Drop for PasidAttachment {
    #[inline]
    fn drop(&mut self) {
        let domain = self.domain.as_ptr().cast();
        let dev = self.device().as_raw();
        // SAFETY: By the invariant.
        unsafe { bindings::iommu_detach_device_pasid(domain, dev, self.pasid.raw()) };
    }
}
