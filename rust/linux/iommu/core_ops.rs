// SPDX-License-Identifier: GPL-2.0

//! The tables of C functions that make a [`Driver`] an IOMMU driver of the kernel.

use super::sysfs::Group;
use super::unit::Unit;
use super::{Capability, DefaultDomain, Domain, Driver, Old, ReservedRegions};
use crate::{bindings, pci};
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::error::from_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use siov_types::Pasid;

/// What hangs off a device that we translate (`dev_iommu_priv_get()`).
struct Private<D: Driver> {
    // Keeps the `iommu_device` that the core holds a pointer to.
    _unit: Arc<Unit<D>>,
    state: Arc<D::Device>,
}

/// Where C code, which brings a device and nothing else, finds the driver's instance.
pub struct Slot<D: Driver>(AtomicPtr<D>);

impl<D: Driver> Slot<D> {
    /// No instance.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }
}

impl<D: Driver> Default for Slot<D> {
    fn default() -> Self {
        Self::new()
    }
}

/// A driver's instance, its operations, and its two static domains.
///
/// They live on the heap and not in a `static`, because there is one set for each type `D`, and
/// because the identity and the blocked domain belong to it. The set must outlive every device that
/// is probed with it: [`super::Registration`] holds a reference.
pub struct Core<D: Driver> {
    ops: Opaque<bindings::iommu_ops>,
    identity: Opaque<bindings::iommu_domain>,
    blocked: Opaque<bindings::iommu_domain>,
    driver: D,
}

// SAFETY: Written in `new()` only, before anybody else can see it.
unsafe impl<D: Driver> Send for Core<D> {}
// SAFETY: As above.
unsafe impl<D: Driver> Sync for Core<D> {}

impl<D: Driver> Core<D> {
    /// Makes `driver`, which is code of `module`, the instance of its type.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is another one.
    pub fn new(driver: D, module: &'static ThisModule) -> Result<Arc<Self>> {
        let core = Arc::new(
            Self {
                ops: Opaque::new(bindings::iommu_ops::default()),
                identity: Opaque::new(bindings::iommu_domain {
                    type_: bindings::__IOMMU_DOMAIN_PT,
                    ops: Self::IDENTITY_OPS,
                    ..Default::default()
                }),
                blocked: Opaque::new(bindings::iommu_domain {
                    type_: 0,
                    ops: Self::BLOCKED_OPS,
                    ..Default::default()
                }),
                driver,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: Nobody else has seen it yet, and the addresses in the `Arc` are final.
        unsafe {
            *core.ops.get() = bindings::iommu_ops {
                capable: Some(Self::capable),
                domain_alloc_paging_flags: Some(Self::domain_alloc_paging_flags),
                probe_device: Some(Self::probe_device),
                probe_finalize: Some(Self::probe_finalize),
                release_device: Some(Self::release_device),
                device_group: Some(Self::device_group),
                get_resv_regions: Some(Self::get_resv_regions),
                def_domain_type: Some(Self::def_domain_type),
                owner: module.as_ptr(),
                identity_domain: core.identity.get(),
                blocked_domain: core.blocked.get(),
                release_domain: core.blocked.get(),
                ..Default::default()
            };
        }
        let instance = (&raw const core.driver).cast_mut();
        D::slot()
            .0
            .compare_exchange(
                core::ptr::null_mut(),
                instance,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .map_err(|_| EBUSY)?;
        Ok(core)
    }

    /// The instance.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    pub(super) fn ops(&self) -> *const bindings::iommu_ops {
        self.ops.get()
    }

    /// The groups of attributes of a unit.
    pub(super) fn groups(&self) -> *mut *const bindings::attribute_group {
        Group::<D>::GROUPS.as_ptr().cast_mut()
    }

    const IDENTITY_OPS: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        attach_dev: Some(Self::identity_attach_dev),
        set_dev_pasid: Some(Self::identity_set_dev_pasid),
        ..pin_init::zeroed()
    };

    const BLOCKED_OPS: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        attach_dev: Some(Self::blocked_attach_dev),
        set_dev_pasid: Some(Self::blocked_set_dev_pasid),
        ..pin_init::zeroed()
    };

    /// The driver's data for `dev`; `None` before probe.
    ///
    /// # Safety
    ///
    /// `dev` is a device with an IOMMU of this driver, and is not released for `'a`.
    pub(super) unsafe fn state<'a>(dev: *mut bindings::device) -> Option<&'a Arc<D::Device>> {
        // SAFETY: As required of us; `iommu` is set before the first operation is called.
        let private = unsafe { (*(*dev).iommu).priv_ }.cast::<Private<D>>();
        // SAFETY: Set by `probe_device` to what it says, or null.
        unsafe { private.as_ref() }.map(|p| &p.state)
    }

    /// Calls `f` for `dev`; `None` before probe.
    ///
    /// # Safety
    ///
    /// As [`Self::state`].
    unsafe fn with<R>(
        dev: *mut bindings::device,
        f: impl FnOnce(&pci::Device, &Arc<D::Device>) -> R,
    ) -> Option<R> {
        // SAFETY: As required of us.
        unsafe { Some(f(pci::Device::from_dev(dev)?, Self::state(dev)?)) }
    }

    /// Calls `f` to attach `pasid` of `dev`, which is attached to `old`, to something else; returns
    /// what C callers expect.
    ///
    /// # Safety
    ///
    /// As [`Self::state`], and `old` as for [`Self::old`].
    pub(super) unsafe fn attach(
        dev: *mut bindings::device,
        pasid: bindings::ioasid_t,
        old: *mut bindings::iommu_domain,
        f: impl FnOnce(&Arc<D::Device>, Pasid, Old<'_, D>) -> Result,
    ) -> i32 {
        from_result(|| {
            let pasid = Pasid::new(pasid).ok_or(EINVAL)?;
            // SAFETY: As required of us.
            let (state, old) = unsafe { (Self::state(dev).ok_or(ENODEV)?, Self::old(old)) };
            f(state, pasid, old)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the core with a valid device.
    unsafe extern "C" fn probe_device(dev: *mut bindings::device) -> *mut bindings::iommu_device {
        // SAFETY: As required of us.
        let Some(pdev) = (unsafe { pci::Device::from_dev(dev) }) else {
            return ENODEV.to_ptr();
        };
        // SAFETY: Devices are probed while a unit is registered, and a registration keeps the
        // instance; it is taken from the slot when it is dropped.
        let Some(driver) = (unsafe { D::slot().0.load(Ordering::Acquire).as_ref() }) else {
            return ENODEV.to_ptr();
        };
        let private = driver.probe(pdev).and_then(|(unit, state)| {
            let raw = unit.raw();
            Ok((raw, KBox::new(Private { _unit: unit, state }, GFP_KERNEL)?))
        });
        match private {
            Ok((iommu, private)) => {
                // SAFETY: The device is being probed: nobody else uses the pointer. It is freed in
                // `release_device`.
                unsafe { bindings::dev_iommu_priv_set(dev, KBox::into_raw(private).cast()) };
                iommu
            }
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the core for a probed device.
    unsafe extern "C" fn probe_finalize(dev: *mut bindings::device) {
        // SAFETY: As required of us.
        unsafe { Self::with(dev, |pdev, state| D::probe_finalize(pdev, state)) };
    }

    /// # Safety
    ///
    /// Called by the core, once, for a probed device.
    unsafe extern "C" fn release_device(dev: *mut bindings::device) {
        // SAFETY: As required of us.
        unsafe { Self::with(dev, |pdev, state| D::release(pdev, state)) };
        // SAFETY: As in `state()`; after this call the core uses neither. `dev_iommu_priv_set()` is for probing
        // only: it wants a lock that is not held when a device goes.
        unsafe {
            let private = core::mem::replace(&mut (*(*dev).iommu).priv_, core::ptr::null_mut());
            let private = private.cast::<Private<D>>();
            if !private.is_null() {
                drop(KBox::from_raw(private));
            }
        }
    }

    /// # Safety
    ///
    /// Called by the core for a probed device.
    unsafe extern "C" fn device_group(dev: *mut bindings::device) -> *mut bindings::iommu_group {
        // SAFETY: Only PCI devices pass `probe_device`.
        unsafe { bindings::pci_device_group(dev) }
    }

    /// # Safety
    ///
    /// Called by the core for a probed device.
    unsafe extern "C" fn capable(dev: *mut bindings::device, cap: bindings::iommu_cap) -> bool {
        let capability = match cap {
            bindings::iommu_cap_IOMMU_CAP_CACHE_COHERENCY => Capability::CacheCoherency,
            bindings::iommu_cap_IOMMU_CAP_NOEXEC => Capability::NoExec,
            bindings::iommu_cap_IOMMU_CAP_PRE_BOOT_PROTECTION => Capability::PreBootProtection,
            bindings::iommu_cap_IOMMU_CAP_ENFORCE_CACHE_COHERENCY => {
                Capability::EnforceCacheCoherency
            }
            bindings::iommu_cap_IOMMU_CAP_DEFERRED_FLUSH => Capability::DeferredFlush,
            bindings::iommu_cap_IOMMU_CAP_DIRTY_TRACKING => Capability::DirtyTracking,
            bindings::iommu_cap_IOMMU_CAP_PCI_ATS_SUPPORTED => Capability::AtsSupported,
            _ => return false,
        };
        // SAFETY: As required of us.
        unsafe { Self::state(dev) }.is_some_and(|state| D::capable(state, capability))
    }

    /// # Safety
    ///
    /// Called by the core for a probed device and an initialised list.
    unsafe extern "C" fn get_resv_regions(
        dev: *mut bindings::device,
        list: *mut bindings::list_head,
    ) {
        // SAFETY: As required of us.
        let mut list = unsafe { ReservedRegions::from_raw(list) };
        // SAFETY: As required of us.
        unsafe {
            Self::with(dev, |pdev, state| {
                D::reserved_regions(pdev, state, &mut list)
            })
        };
    }

    /// # Safety
    ///
    /// Called by the core for a probed device.
    unsafe extern "C" fn def_domain_type(dev: *mut bindings::device) -> i32 {
        // SAFETY: As required of us.
        let default = unsafe { Self::with(dev, |pdev, state| D::default_domain(pdev, state)) };
        let kind = match default.unwrap_or(DefaultDomain::Any) {
            DefaultDomain::Any => 0,
            DefaultDomain::Identity => bindings::__IOMMU_DOMAIN_PT,
            DefaultDomain::Dma => {
                bindings::__IOMMU_DOMAIN_PAGING | bindings::__IOMMU_DOMAIN_DMA_API
            }
        };
        kind as i32
    }

    /// # Safety
    ///
    /// Called by the core for a probed device.
    unsafe extern "C" fn domain_alloc_paging_flags(
        dev: *mut bindings::device,
        flags: u32,
        user_data: *const bindings::iommu_user_data,
    ) -> *mut bindings::iommu_domain {
        if !user_data.is_null() {
            return crate::error::eopnotsupp().to_ptr();
        }
        // SAFETY: As required of us.
        let domain = unsafe { Self::state(dev) }
            .ok_or(ENODEV)
            .and_then(|state| D::alloc_paging(state, flags));
        match domain {
            Ok(domain) => Domain::into_raw(domain),
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the core under the group's mutex, for a probed device attached to `old`.
    unsafe extern "C" fn identity_attach_dev(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: As required of us.
        unsafe { Self::identity_set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old) }
    }

    /// # Safety
    ///
    /// As [`Self::identity_attach_dev`].
    unsafe extern "C" fn identity_set_dev_pasid(
        _domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        pasid: bindings::ioasid_t,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: As required of us.
        unsafe { Self::attach(dev, pasid, old, D::attach_identity) }
    }

    /// # Safety
    ///
    /// Called by the core under the group's mutex, for a probed device attached to `old`.
    unsafe extern "C" fn blocked_attach_dev(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: As required of us.
        unsafe { Self::blocked_set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old) }
    }

    /// # Safety
    ///
    /// As [`Self::blocked_attach_dev`].
    unsafe extern "C" fn blocked_set_dev_pasid(
        _domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        pasid: bindings::ioasid_t,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        let block = |state: &_, pasid, old: Old<'_, _>| {
            D::attach_blocked(state, pasid, old);
            Ok(())
        };
        // SAFETY: As required of us.
        unsafe { Self::attach(dev, pasid, old, block) }
    }
}

impl<D: Driver> Drop for Core<D> {
    fn drop(&mut self) {
        // Another instance may be in the slot, if this one found it taken.
        let _ = D::slot().0.compare_exchange(
            (&raw const self.driver).cast_mut(),
            core::ptr::null_mut(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}
