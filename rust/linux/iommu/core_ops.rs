// SPDX-License-Identifier: GPL-2.0

//! The tables of C functions that make a [`Driver`] an IOMMU driver of the kernel.

use super::domain::OldDomain;
use super::sysfs::Group;
use super::unit::Unit;
use super::{Capability, DefaultDomain, Domain, Driver, Old, ReservedRegions};
use crate::abi::{callback1, callback2, callback3, callback4, Object, Receive};
use crate::{bindings, pci};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::device::Device;
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

mod c {
    use crate::bindings;

    // SAFETY: This wants a PCI function.
    crate::c_functions!(unsafe {
        pub(super) fn pci_device_group(dev: &kernel::device::Device) -> *mut bindings::iommu_group;
    });
}

/// A device of a driver, as the core passes it to the driver's operations: it has an IOMMU or is being
/// probed for one, and is not released meanwhile.
#[repr(transparent)]
pub(super) struct DeviceOf<'a, D: Driver>(&'a Device, PhantomData<D>);

// SAFETY: The core calls the operations of a driver for such devices.
unsafe impl<D: Driver> Receive<*mut bindings::device> for DeviceOf<'_, D> {}

impl<D: Driver> DeviceOf<'_, D> {
    fn pci(&self) -> Option<&pci::Device> {
        pci::Device::from_dev(self.0)
    }

    /// The driver's data; `None` before probe.
    fn state(&self) -> Option<&Arc<D::Device>> {
        // SAFETY: `iommu` is set before the first operation is called, and its private data by
        // `probe_device` to what it says; or it is null.
        let private = unsafe {
            (*(*self.0.as_raw()).iommu)
                .priv_
                .cast::<Private<D>>()
                .as_ref()
        };
        private.map(|p| &p.state)
    }

    /// Calls `f`; `None` before probe.
    fn with<R>(&self, f: impl FnOnce(&pci::Device, &Arc<D::Device>) -> R) -> Option<R> {
        Some(f(self.pci()?, self.state()?))
    }

    /// Calls `f` to attach `pasid`, which is attached to `old`, to something else; returns what C
    /// callers expect. The core holds the group's mutex.
    pub(super) fn attach(
        &self,
        pasid: bindings::ioasid_t,
        old: OldDomain<'_, D>,
        f: impl FnOnce(&Arc<D::Device>, Pasid, Old<'_, D>) -> Result,
    ) -> i32 {
        from_result(|| {
            let pasid = Pasid::new(pasid).ok_or(EINVAL)?;
            f(self.state().ok_or(ENODEV)?, pasid, old.get())?;
            Ok(0)
        })
    }
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
                capable: Some(callback2(Self::capable)),
                domain_alloc_paging_flags: Some(callback3(Self::domain_alloc_paging_flags)),
                probe_device: Some(callback1(Self::probe_device)),
                probe_finalize: Some(callback1(Self::probe_finalize)),
                release_device: Some(callback1(Self::release_device)),
                device_group: Some(callback1(Self::device_group)),
                get_resv_regions: Some(callback2(Self::get_resv_regions)),
                def_domain_type: Some(callback1(Self::def_domain_type)),
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
        attach_dev: Some(callback3(Self::identity_attach_dev)),
        set_dev_pasid: Some(callback4(Self::identity_set_dev_pasid)),
        ..pin_init::zeroed()
    };

    const BLOCKED_OPS: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        attach_dev: Some(callback3(Self::blocked_attach_dev)),
        set_dev_pasid: Some(callback4(Self::blocked_set_dev_pasid)),
        ..pin_init::zeroed()
    };

    extern "C" fn probe_device(dev: DeviceOf<'_, D>) -> *mut bindings::iommu_device {
        let Some(pdev) = dev.pci() else {
            return ENODEV.to_ptr();
        };
        // SAFETY: Devices are probed while a unit is registered, and a registration keeps the
        // instance; it is taken from the slot when it is dropped.
        let Some(driver) = (unsafe { D::slot().0.load(Ordering::Acquire).as_ref() }) else {
            return ENODEV.to_ptr();
        };
        let private = driver.probe(pdev).and_then(|(unit, state)| {
            let raw = unit.as_raw();
            Ok((raw, KBox::new(Private { _unit: unit, state }, GFP_KERNEL)?))
        });
        match private {
            Ok((iommu, private)) => {
                // SAFETY: The device is being probed: nobody else uses the pointer. It is freed in
                // `release_device`.
                unsafe {
                    bindings::dev_iommu_priv_set(dev.0.as_raw(), KBox::into_raw(private).cast())
                };
                iommu
            }
            Err(e) => e.to_ptr(),
        }
    }

    extern "C" fn probe_finalize(dev: DeviceOf<'_, D>) {
        dev.with(|pdev, state| D::probe_finalize(pdev, state));
    }

    extern "C" fn release_device(dev: DeviceOf<'_, D>) {
        dev.with(|pdev, state| D::release(pdev, state));
        // SAFETY: As in `private()`; after this call the core uses neither. `dev_iommu_priv_set()` is for
        // probing only: it wants a lock that is not held when a device goes.
        unsafe {
            let private =
                core::mem::replace(&mut (*(*dev.0.as_raw()).iommu).priv_, core::ptr::null_mut());
            let private = private.cast::<Private<D>>();
            if !private.is_null() {
                drop(KBox::from_raw(private));
            }
        }
    }

    extern "C" fn device_group(dev: DeviceOf<'_, D>) -> *mut bindings::iommu_group {
        // Only PCI devices pass `probe_device`.
        c::pci_device_group(dev.0)
    }

    extern "C" fn capable(dev: DeviceOf<'_, D>, cap: bindings::iommu_cap) -> bool {
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
        dev.state()
            .is_some_and(|state| D::capable(state, capability))
    }

    extern "C" fn get_resv_regions(dev: DeviceOf<'_, D>, mut list: ReservedRegions<'_>) {
        dev.with(|pdev, state| D::reserved_regions(pdev, state, &mut list));
    }

    extern "C" fn def_domain_type(dev: DeviceOf<'_, D>) -> i32 {
        let default = dev.with(|pdev, state| D::default_domain(pdev, state));
        let kind = match default.unwrap_or(DefaultDomain::Any) {
            DefaultDomain::Any => 0,
            DefaultDomain::Identity => bindings::__IOMMU_DOMAIN_PT,
            DefaultDomain::Dma => {
                bindings::__IOMMU_DOMAIN_PAGING | bindings::__IOMMU_DOMAIN_DMA_API
            }
        };
        kind as i32
    }

    extern "C" fn domain_alloc_paging_flags(
        dev: DeviceOf<'_, D>,
        flags: u32,
        user_data: *const bindings::iommu_user_data,
    ) -> *mut bindings::iommu_domain {
        if !user_data.is_null() {
            return crate::error::eopnotsupp().to_ptr();
        }
        let domain = dev
            .state()
            .ok_or(ENODEV)
            .and_then(|state| D::alloc_paging(state, flags));
        match domain {
            Ok(domain) => Domain::into_raw(domain),
            Err(e) => e.to_ptr(),
        }
    }

    extern "C" fn identity_attach_dev(
        domain: *mut bindings::iommu_domain,
        dev: DeviceOf<'_, D>,
        old: OldDomain<'_, D>,
    ) -> i32 {
        Self::identity_set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old)
    }

    extern "C" fn identity_set_dev_pasid(
        _domain: *mut bindings::iommu_domain,
        dev: DeviceOf<'_, D>,
        pasid: bindings::ioasid_t,
        old: OldDomain<'_, D>,
    ) -> i32 {
        dev.attach(pasid, old, D::attach_identity)
    }

    extern "C" fn blocked_attach_dev(
        domain: *mut bindings::iommu_domain,
        dev: DeviceOf<'_, D>,
        old: OldDomain<'_, D>,
    ) -> i32 {
        Self::blocked_set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old)
    }

    extern "C" fn blocked_set_dev_pasid(
        _domain: *mut bindings::iommu_domain,
        dev: DeviceOf<'_, D>,
        pasid: bindings::ioasid_t,
        old: OldDomain<'_, D>,
    ) -> i32 {
        let block = |state: &_, pasid, old: Old<'_, _>| {
            D::attach_blocked(state, pasid, old);
            Ok(())
        };
        dev.attach(pasid, old, block)
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
