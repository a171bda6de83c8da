// SPDX-License-Identifier: GPL-2.0

//! Attaching domains to PASIDs, for those who use an IOMMU.
//!
//! C header: [`include/linux/iommu.h`](srctree/include/linux/iommu.h)

use crate::abi::{Object, Pass};
use crate::bindings;
use crate::error::eopnotsupp;
use core::ptr::NonNull;
use kernel::device::Device;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;
use kernel::types::Opaque;
use siov_types::Pasid;

/// A `struct iommu_domain` of any IOMMU driver.
///
/// # Invariants
///
/// Whoever owns the domain does not free it before it is detached from all it was attached to. That is
/// the rule of the C interface; none of its functions can check it.
#[repr(transparent)]
pub struct AnyDomain(Opaque<bindings::iommu_domain>);

// SAFETY: A transparent `Opaque`, valid by the invariant.
unsafe impl Object<bindings::iommu_domain> for AnyDomain {}

/// The C functions called here.
pub(super) mod c {
    use super::{AnyDomain, Device, Translated};
    use crate::bindings;

    // SAFETY: These want a device that has an IOMMU, numbers, and a domain; a PASID is freed by its owner.
    crate::c_functions!(unsafe {
        pub(in crate::iommu) fn iommu_paging_domain_alloc_flags(
            dev: Translated<'_>,
            flags: u32,
        ) -> *mut bindings::iommu_domain;
        pub(super) fn iommu_alloc_global_pasid(dev: Translated<'_>) -> bindings::ioasid_t;
        pub(super) fn iommu_free_global_pasid(pasid: bindings::ioasid_t);
    });

    // SAFETY: These want a domain that is there until it is detached, which is the invariant of `AnyDomain`,
    // and a device that is there as long as it is attached, which is that of `PasidAttachment`.
    crate::c_functions!(unsafe {
        pub(super) fn iommu_attach_device_pasid(
            domain: &AnyDomain,
            dev: Translated<'_>,
            pasid: bindings::ioasid_t,
            handle: *mut bindings::iommu_attach_handle,
        ) -> i32;
        pub(super) fn iommu_detach_device_pasid(
            domain: &AnyDomain,
            dev: &Device,
            pasid: bindings::ioasid_t,
        );
    });
}

/// Tells one [`AnyDomain`] from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DomainKey(usize);

impl DomainKey {
    /// A number that is different for each domain.
    pub fn get(self) -> usize {
        self.0
    }
}

impl AnyDomain {
    /// Which domain it is.
    pub fn key(&self) -> DomainKey {
        DomainKey(self.0.get() as usize)
    }

    /// Whether page tables translate it, which their owner changes with `iommu_map()`.
    pub fn is_paging(&self) -> bool {
        // SAFETY: The type of a domain does not change.
        unsafe { (*self.0.get()).type_ & bindings::__IOMMU_DOMAIN_PAGING != 0 }
    }

    /// Whether its driver can attach it to a PASID.
    pub fn takes_pasids(&self) -> bool {
        // SAFETY: The operations of a domain are set when it is made, and are constant.
        unsafe { (*(*self.0.get()).ops).set_dev_pasid.is_some() }
    }
}

/// A device whose requests an IOMMU sees.
#[derive(Clone, Copy)]
pub struct Translated<'a>(&'a Device);

impl Pass<*mut bindings::device> for Translated<'_> {
    fn pass(self) -> *mut bindings::device {
        self.0.as_raw()
    }
}

impl<'a> Translated<'a> {
    /// The device, if it has an IOMMU. It must not be removed from the system meanwhile, which a bound
    /// driver keeps from happening.
    pub fn new(dev: &'a Device) -> Option<Self> {
        let raw = dev.as_raw();
        // SAFETY: Reads pointers of a valid device that is not being removed.
        let known = unsafe { !(*raw).iommu_group.is_null() && !(*raw).iommu.is_null() };
        known.then_some(Self(dev))
    }

    /// One more than the greatest PASID that both the device and its IOMMU have; 0 without PASIDs.
    pub fn max_pasids(self) -> u32 {
        // SAFETY: As in `new`; set when the device was probed.
        unsafe { (*(*self.0.as_raw()).iommu).max_pasids }
    }

    /// Whether domains can be attached to the device's PASIDs.
    ///
    /// `iommu_attach_device_pasid()` must not be asked: it succeeds, and does nothing, for a device that
    /// has none.
    pub fn has_pasid_domains(self) -> bool {
        self.max_pasids() > 1 && self.detaches_pasids() && self.makes_pasid_domains()
    }

    /// The core detaches a PASID by attaching the blocked domain.
    fn detaches_pasids(self) -> bool {
        // SAFETY: As in `new`; the unit of a device, its operations and its static domains live as long
        // as it has them.
        unsafe {
            let ops = (*(*(*self.0.as_raw()).iommu).iommu_dev).ops;
            let blocked = (*ops).blocked_domain;
            !blocked.is_null() && (*(*blocked).ops).set_dev_pasid.is_some()
        }
    }

    /// Drivers give each domain its operations when they make it, so one is made and looked at.
    fn makes_pasid_domains(self) -> bool {
        let made = from_err_ptr(c::iommu_paging_domain_alloc_flags(self, 0));
        made.is_ok_and(|domain| {
            // SAFETY: A valid domain, which is attached nowhere and freed once.
            unsafe {
                let takes = (*(*domain).ops).set_dev_pasid.is_some();
                bindings::iommu_domain_free(domain);
                takes
            }
        })
    }
}

/// A PASID that is unique on this machine and belongs to its holder.
pub struct GlobalPasid(Pasid);

impl GlobalPasid {
    /// One that `dev` has; `None` when there is none left.
    pub fn new(dev: Translated<'_>) -> Option<Self> {
        let raw = c::iommu_alloc_global_pasid(dev);
        // What is no PASID is IOMMU_PASID_INVALID.
        Pasid::new(raw).map(Self)
    }

    /// The number.
    pub fn get(&self) -> Pasid {
        self.0
    }
}

impl Drop for GlobalPasid {
    fn drop(&mut self) {
        c::iommu_free_global_pasid(self.0.raw());
    }
}

/// A domain that translates one PASID of a device, and of the other devices in its group. Ends when
/// dropped: from then on, requests with the PASID are blocked.
///
/// # Invariants
///
/// As long as this lives, the device is not removed from the system: C code that takes a device away detaches
/// it first, which is the rule of the core for all who attach domains. That is why no reference to it is
/// counted.
pub struct PasidAttachment {
    domain: NonNull<AnyDomain>,
    dev: NonNull<Device>,
    pasid: Pasid,
}

// SAFETY: Devices and domains may be detached from any thread.
unsafe impl Send for PasidAttachment {}

impl PasidAttachment {
    /// Attaches `domain` to `pasid` of `dev`, which must not be removed as long as this lives.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the PASID has a domain; `EINVAL` for a domain of another IOMMU driver or a PASID that
    /// the device does not have; what the IOMMU driver returns.
    pub fn new(domain: &AnyDomain, dev: Translated<'_>, pasid: Pasid) -> Result<Self> {
        if !domain.takes_pasids() {
            return Err(eopnotsupp());
        }
        let handle = core::ptr::null_mut();
        to_result(c::iommu_attach_device_pasid(
            domain,
            dev,
            pasid.raw(),
            handle,
        ))?;
        Ok(Self {
            domain: domain.into(),
            dev: dev.0.into(),
            pasid,
        })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        // SAFETY: By the invariant.
        unsafe { self.dev.as_ref() }
    }
}

impl Drop for PasidAttachment {
    fn drop(&mut self) {
        // SAFETY: It is not freed before it is detached, by the invariant of `AnyDomain`.
        let domain = unsafe { self.domain.as_ref() };
        c::iommu_detach_device_pasid(domain, self.device(), self.pasid.raw());
    }
}
