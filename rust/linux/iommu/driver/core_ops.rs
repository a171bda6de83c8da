// SPDX-License-Identifier: GPL-2.0

//! The tables of C functions that make a [`Driver`] an IOMMU driver of the kernel.

use super::sysfs::Group;
use super::unit::{Entered, Member, Unit};
use super::{Capability, DefaultDomain, Domain, Driver, OldDomain, ReservedRegions};
use crate::callback::{Call, FromC};
use crate::instance::Published;
use crate::iommu;
use crate::module::wait_for_callers;
use crate::object::Object;
use crate::pci::{self, DeviceExt};
use crate::{bindings, error::eopnotsupp};
use core::marker::PhantomData;
use core::ops::Deref;
use kernel::device::Device;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::types::Opaque;
use siov_types::{Pasid, PAGE_SHIFT};

/// What hangs off a device that we translate (`dev_iommu_priv_get()`).
struct Private<D: Driver> {
    // Keeps the `iommu_device` that the core holds a pointer to.
    _unit: Arc<Unit<D>>,
    member: Arc<Member>,
    state: Arc<D::Device>,
}

/// A device of a driver, as the core passes it to the driver's operations: until the call ends it
/// has a `struct dev_iommu`, whose private data is null or what `probe_device` stored, and is not
/// released.
pub(super) struct DeviceOf<'call, D: Driver>(&'call Device, PhantomData<D>);

impl<'call, D: Driver> FromC<'call, *mut bindings::device> for DeviceOf<'call, D> {
    unsafe fn from_c(dev: *mut bindings::device, _call: &'call Call) -> Self {
        // SAFETY: As required of us, and an object is at the address of its structure.
        Self(unsafe { &*dev.cast() }, PhantomData)
    }
}

impl<D: Driver> DeviceOf<'_, D> {
    /// The device as a function; `None` for devices of other buses.
    fn function(&self) -> Option<Function<'_>> {
        <&pci::Device>::try_from(self.0).ok().map(Function)
    }

    fn iommu(&self) -> *mut bindings::dev_iommu {
        // SAFETY: The device is valid; the core sets the field before it calls a driver.
        unsafe { (*self.0.as_raw()).iommu }
    }

    /// What hangs off it; `None` before probe.
    fn private(&self) -> Option<&Private<D>> {
        // SAFETY: By what is true of the type.
        let private: *mut Private<D> = unsafe { (*self.iommu()).priv_ }.cast();
        // SAFETY: Null, or what `probe_device` stored, which stays until the device is released.
        unsafe { private.as_ref() }
    }

    /// The driver's data, for a call that is counted; `None` before probe.
    fn enter(&self) -> Option<(Entered<'_>, &Arc<D::Device>)> {
        let private = self.private()?;
        Some((private.member.enter(), &private.state))
    }

    /// Calls `f`; `None` before probe.
    fn with<R>(&self, f: impl FnOnce(&Function<'_>, &Arc<D::Device>) -> R) -> Option<R> {
        let (_entered, state) = self.enter()?;
        Some(f(&self.function()?, state))
    }

    /// Calls `f` to attach `pasid`, which is attached to `old`, to something else, which may be the
    /// blocked domain; returns what C callers expect. The core holds the group's mutex.
    pub(super) fn attach(
        &self,
        pasid: bindings::ioasid_t,
        old: RawOldDomain<'_, D>,
        blocks: bool,
        f: impl FnOnce(&Arc<D::Device>, Pasid, OldDomain<'_, D>) -> Result,
    ) -> i32 {
        from_result(|| {
            let pasid = Pasid::new(pasid).ok_or(EINVAL)?;
            let private = self.private().ok_or(ENODEV)?;
            let old = old.get();
            let was_attached = matches!(old, OldDomain::Identity | OldDomain::Paging(_));
            f(&private.state, pasid, old)?;
            if pasid != Pasid::NO_PASID {
                private.member.count_pasid(was_attached, !blocks);
            }
            Ok(0)
        })
    }
}

/// The domain that a PASID of a device of this driver is attached to, until the call ends; or NULL.
pub(super) struct RawOldDomain<'call, D: Driver>(
    *mut bindings::iommu_domain,
    PhantomData<(&'call Call, D)>,
);

impl<'call, D: Driver> FromC<'call, *mut bindings::iommu_domain> for RawOldDomain<'call, D> {
    unsafe fn from_c(domain: *mut bindings::iommu_domain, _call: &'call Call) -> Self {
        Self(domain, PhantomData)
    }
}

impl<D: Driver> RawOldDomain<'_, D> {
    /// What it is.
    fn get(&self) -> OldDomain<'_, D> {
        if self.0.is_null() {
            return OldDomain::None;
        }
        // SAFETY: A valid domain, whose type does not change.
        let kind = unsafe { (*self.0).type_ };
        if kind & bindings::__IOMMU_DOMAIN_PAGING != 0 {
            // SAFETY: Paging domains that our devices are attached to were made by us.
            let domain = unsafe { &*self.0.cast::<Domain<D::Paging>>() };
            OldDomain::Paging(domain.data())
        } else if kind & bindings::__IOMMU_DOMAIN_PT != 0 {
            OldDomain::Identity
        } else {
            OldDomain::Blocked
        }
    }
}

/// A function that the IOMMU core probes, asks about or releases: it stays in the system meanwhile,
/// and the core's probe lock or its group's mutex keeps others from changing its ATS and PASID
/// capabilities.
pub struct Function<'a>(&'a pci::Device);

impl Deref for Function<'_> {
    type Target = pci::Device;

    fn deref(&self) -> &pci::Device {
        self.0
    }
}

impl Function<'_> {
    /// The function's group, if it has one by now.
    pub fn group(&self) -> Option<ARef<iommu::Group>> {
        // SAFETY: The function stays in the system meanwhile, and its unit is ours.
        unsafe { iommu::Group::of(self.0.as_dev()) }
    }

    /// The function whose requester ids the DMA of this one carries, when a driver presents this
    /// one on a bus of its own making below that function (Intel VMD); `None` for all others.
    pub fn real_dma_device(&self) -> Option<&pci::Device> {
        // SAFETY: The function stays in the system meanwhile, and with it its host bridge and the
        // bridge's parent.
        let real = unsafe { bindings::siov_helper_pci_real_dma_dev(self.0.as_raw()) };
        if core::ptr::eq(real, self.0.as_raw()) {
            return None;
        }
        // SAFETY: As above, and an object is at the address of its structure.
        Some(unsafe { &*real.cast() })
    }

    /// Whether the function has ATS and the kernel allows its use.
    pub fn ats_supported(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::pci_ats_supported(self.0.as_raw()) }
    }

    /// Sets the smallest translation unit that the function will be used with; before
    /// [`Self::enable_ats`].
    ///
    /// # Errors
    ///
    /// Those of `pci_prepare_ats()`.
    pub fn prepare_ats(&self) -> Result {
        // SAFETY: The device is valid, and its ATS is not changed by others.
        to_result(unsafe { bindings::pci_prepare_ats(self.0.as_raw(), PAGE_SHIFT as i32) })
    }

    /// Lets the function ask for translations.
    ///
    /// # Errors
    ///
    /// Those of `pci_enable_ats()`.
    pub fn enable_ats(&self) -> Result {
        // SAFETY: The device is valid, and its ATS is not changed by others.
        to_result(unsafe { bindings::pci_enable_ats(self.0.as_raw(), PAGE_SHIFT as i32) })
    }

    /// Ends what [`Self::enable_ats`] began.
    pub fn disable_ats(&self) {
        // SAFETY: The device is valid, and its ATS is not changed by others. If it is off, the
        // function warns.
        unsafe { bindings::pci_disable_ats(self.0.as_raw()) };
    }

    /// Whether the function asks for translations of whole pages only, as invalidations of pages
    /// need; a VF's is that of its PF (PCIe spec, 10.5.1.2).
    pub fn ats_page_aligned(&self) -> bool {
        // SAFETY: The function stays in the system, and a VF with it holds a reference to its PF.
        unsafe { bindings::siov_helper_pci_ats_page_aligned(self.0.as_raw()) }
    }

    /// Number of invalidation requests the function's ATS can hold, 1 to 32; a VF's is that of its
    /// PF (PCIe spec, 10.5.1.2).
    pub fn ats_queue_depth(&self) -> u8 {
        // SAFETY: The function stays in the system, and a VF with it holds a reference to its PF.
        unsafe { bindings::siov_helper_pci_ats_queue_depth(self.0.as_raw()) as u8 }
    }

    /// Number of PASIDs the function can use; 0 without PASID capability.
    pub fn max_pasids(&self) -> u32 {
        // SAFETY: The function stays in the system, and a VF with it holds a reference to its PF.
        let max = unsafe { bindings::pci_max_pasids(self.0.as_raw()) };
        u32::try_from(max).unwrap_or(0)
    }

    /// Lets the function tag its requests with PASIDs.
    ///
    /// # Errors
    ///
    /// Those of `pci_enable_pasid()`.
    pub fn enable_pasid(&self) -> Result {
        // SAFETY: As for `max_pasids`.
        let features = unsafe { bindings::pci_pasid_features(self.0.as_raw()) };
        to_result(features)?;
        // SAFETY: As above, and its PASID capability is not changed by others.
        to_result(unsafe { bindings::pci_enable_pasid(self.0.as_raw(), features) })
    }

    /// Ends what [`Self::enable_pasid`] began.
    pub fn disable_pasid(&self) {
        // SAFETY: As for `enable_pasid`. If it is off, the function warns.
        unsafe { bindings::pci_disable_pasid(self.0.as_raw()) };
    }
}

/// A driver's instance, its operations, and its two static domains.
///
/// They live on the heap and not in a `static`, because there is one set for each type `D`, and
/// because the identity and the blocked domain belong to it. The set must outlive every device that
/// is probed with it: [`super::Registration`] holds a reference.
pub struct Core<D: Driver> {
    // Dropped in this order. Whoever is being asked to probe a device finds an instance, and is
    // waited for, or does not, and does not sleep before the core has looked at the operations once
    // more: the core has no lock for them.
    _published: Published<D>,
    _waits: Waits,
    inner: KBox<Inner<D>>,
}

/// Waits for those who are returning from a driver's functions, when dropped.
struct Waits;

impl Drop for Waits {
    fn drop(&mut self) {
        wait_for_callers();
    }
}

struct Inner<D: Driver> {
    ops: Opaque<bindings::iommu_ops>,
    identity: Opaque<bindings::iommu_domain>,
    blocked: Opaque<bindings::iommu_domain>,
    driver: D,
}

// SAFETY: The C structures belong to the IOMMU core; `D` is `Send`.
unsafe impl<D: Driver> Send for Inner<D> {}
// SAFETY: The C structures are written before anybody else can see them, and by the IOMMU core; `D`
// is `Sync`.
unsafe impl<D: Driver> Sync for Inner<D> {}

impl<D: Driver> Core<D> {
    /// Makes `driver`, which is code of `module`, the instance of its type.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is another one, `ENOMEM`.
    pub fn new(driver: D, module: &'static ThisModule) -> Result<Arc<Self>> {
        let inner = KBox::new(
            Inner {
                ops: Opaque::new(bindings::iommu_ops::default()),
                identity: Opaque::new(bindings::iommu_domain {
                    type_: bindings::__IOMMU_DOMAIN_PT,
                    ops: Adapter::<D>::IDENTITY_OPS,
                    ..Default::default()
                }),
                blocked: Opaque::new(bindings::iommu_domain {
                    type_: 0,
                    ops: Adapter::<D>::BLOCKED_OPS,
                    ..Default::default()
                }),
                driver,
            },
            GFP_KERNEL,
        )?;
        let ops = bindings::iommu_ops {
            capable: Some(Adapter::<D>::capable_callback),
            domain_alloc_paging_flags: Some(Adapter::<D>::domain_alloc_paging_flags_callback),
            probe_device: Some(Adapter::<D>::probe_device_callback),
            probe_finalize: Some(Adapter::<D>::probe_finalize_callback),
            release_device: Some(Adapter::<D>::release_device_callback),
            device_group: Some(Adapter::<D>::device_group_callback),
            get_resv_regions: Some(Adapter::<D>::get_resv_regions_callback),
            def_domain_type: Some(Adapter::<D>::def_domain_type_callback),
            owner: module.as_ptr(),
            identity_domain: inner.identity.get(),
            blocked_domain: inner.blocked.get(),
            release_domain: inner.blocked.get(),
            ..Default::default()
        };
        // SAFETY: Nobody else has seen it yet.
        unsafe { inner.ops.get().write(ops) };
        // SAFETY: The box is not moved out of, and dropped after `_published`.
        let published = unsafe { D::place().publish(&inner.driver) }?;
        Ok(Arc::new(
            Self {
                _published: published,
                _waits: Waits,
                inner,
            },
            GFP_KERNEL,
        )?)
    }

    /// The instance.
    pub fn driver(&self) -> &D {
        &self.inner.driver
    }

    pub(super) fn ops(&self) -> *const kernel::bindings::iommu_ops {
        // The same structure of C, but for the type of an enumeration.
        self.inner.ops.get().cast()
    }

    /// The groups of attributes of a unit.
    pub(super) fn groups(&self) -> *mut *const bindings::attribute_group {
        Group::<D>::GROUPS.as_ptr().cast_mut()
    }
}

/// The C functions of one type of driver.
struct Adapter<D: Driver>(PhantomData<D>);

impl<D: Driver> Adapter<D> {
    const IDENTITY_OPS: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        attach_dev: Some(Self::identity_attach_dev_callback),
        set_dev_pasid: Some(Self::identity_set_dev_pasid_callback),
        ..pin_init::zeroed()
    };

    const BLOCKED_OPS: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        attach_dev: Some(Self::blocked_attach_dev_callback),
        set_dev_pasid: Some(Self::blocked_set_dev_pasid_callback),
        ..pin_init::zeroed()
    };

    crate::callbacks! {
        /// `iommu_ops::probe_device`.
        ///
        /// # Safety
        ///
        /// For the operations of a `Core<D>`: the core passes a device that has a
        /// `struct dev_iommu`, no private data, and is not used by others yet.
        unsafe fn probe_device_callback(dev: *mut bindings::device => DeviceOf<'_, D>)
            -> *mut bindings::iommu_device = Self::probe_device;

        /// `iommu_ops::probe_finalize`.
        ///
        /// # Safety
        ///
        /// For the operations of a `Core<D>`: the core passes a device that they have probed and
        /// not released.
        unsafe fn probe_finalize_callback(dev: *mut bindings::device => DeviceOf<'_, D>)
            = Self::probe_finalize;

        /// `iommu_ops::device_group`.
        ///
        /// # Safety
        ///
        /// As for `probe_finalize_callback`.
        unsafe fn device_group_callback(dev: *mut bindings::device => DeviceOf<'_, D>)
            -> *mut bindings::iommu_group = Self::device_group;

        /// `iommu_ops::capable`.
        ///
        /// # Safety
        ///
        /// As for `probe_finalize_callback`.
        unsafe fn capable_callback(
            dev: *mut bindings::device => DeviceOf<'_, D>,
            capability: bindings::iommu_cap => bindings::iommu_cap,
        ) -> bool = Self::capable;

        /// `iommu_ops::get_resv_regions`.
        ///
        /// # Safety
        ///
        /// As for `probe_finalize_callback`; the list is initialised, and the function's alone.
        unsafe fn get_resv_regions_callback(
            dev: *mut bindings::device => DeviceOf<'_, D>,
            list: *mut bindings::list_head => ReservedRegions<'_>,
        ) = Self::get_resv_regions;

        /// `iommu_ops::def_domain_type`.
        ///
        /// # Safety
        ///
        /// As for `probe_finalize_callback`.
        unsafe fn def_domain_type_callback(dev: *mut bindings::device => DeviceOf<'_, D>) -> i32
            = Self::def_domain_type;

        /// `iommu_ops::domain_alloc_paging_flags`.
        ///
        /// # Safety
        ///
        /// As for `probe_finalize_callback`.
        unsafe fn domain_alloc_paging_flags_callback(
            dev: *mut bindings::device => DeviceOf<'_, D>,
            flags: u32 => u32,
            user_data: *const bindings::iommu_user_data => *const bindings::iommu_user_data,
        ) -> *mut bindings::iommu_domain = Self::domain_alloc_paging_flags;

        /// `iommu_domain_ops::attach_dev` of the identity domain.
        ///
        /// # Safety
        ///
        /// As for `probe_finalize_callback`; `old` is the domain that the device is attached to.
        unsafe fn identity_attach_dev_callback(
            _domain: *mut bindings::iommu_domain => *mut bindings::iommu_domain,
            dev: *mut bindings::device => DeviceOf<'_, D>,
            old: *mut bindings::iommu_domain => RawOldDomain<'_, D>,
        ) -> i32 = |_, dev, old| Self::attach_identity(dev, Pasid::NO_PASID.raw(), old);

        /// `iommu_domain_ops::set_dev_pasid` of the identity domain.
        ///
        /// # Safety
        ///
        /// As for `identity_attach_dev_callback`; `old` is that of the PASID.
        unsafe fn identity_set_dev_pasid_callback(
            _domain: *mut bindings::iommu_domain => *mut bindings::iommu_domain,
            dev: *mut bindings::device => DeviceOf<'_, D>,
            pasid: bindings::ioasid_t => u32,
            old: *mut bindings::iommu_domain => RawOldDomain<'_, D>,
        ) -> i32 = |_, dev, pasid, old| Self::attach_identity(dev, pasid, old);

        /// `iommu_domain_ops::attach_dev` of the blocked domain.
        ///
        /// # Safety
        ///
        /// As for `identity_attach_dev_callback`.
        unsafe fn blocked_attach_dev_callback(
            _domain: *mut bindings::iommu_domain => *mut bindings::iommu_domain,
            dev: *mut bindings::device => DeviceOf<'_, D>,
            old: *mut bindings::iommu_domain => RawOldDomain<'_, D>,
        ) -> i32 = |_, dev, old| Self::attach_blocked(dev, Pasid::NO_PASID.raw(), old);

        /// `iommu_domain_ops::set_dev_pasid` of the blocked domain.
        ///
        /// # Safety
        ///
        /// As for `identity_set_dev_pasid_callback`.
        unsafe fn blocked_set_dev_pasid_callback(
            _domain: *mut bindings::iommu_domain => *mut bindings::iommu_domain,
            dev: *mut bindings::device => DeviceOf<'_, D>,
            pasid: bindings::ioasid_t => u32,
            old: *mut bindings::iommu_domain => RawOldDomain<'_, D>,
        ) -> i32 = |_, dev, pasid, old| Self::attach_blocked(dev, pasid, old);
    }

    fn probe_device(dev: DeviceOf<'_, D>) -> *mut bindings::iommu_device {
        // Nothing here sleeps but what is done with the instance: see `Core`.
        let probed = dev.function().ok_or(ENODEV).and_then(|function| {
            let probe = |driver: &D| Self::probe_function(driver, &function);
            D::place().with(probe).ok_or(ENODEV)?
        });
        match probed {
            Ok((unit, private)) => {
                let private = KBox::into_raw(private).cast();
                // SAFETY: The device is being probed: nobody else uses the pointer. It is freed in
                // `release_device`.
                unsafe { bindings::dev_iommu_priv_set(dev.0.as_raw(), private) };
                unit
            }
            Err(e) => e.to_ptr(),
        }
    }

    fn probe_function(
        driver: &D,
        function: &Function<'_>,
    ) -> Result<(*mut bindings::iommu_device, KBox<Private<D>>)> {
        let room = KBox::<Private<D>>::new_uninit(GFP_KERNEL)?;
        let (unit, state) = driver.probe(function)?;
        let member = unit
            .add(function)
            .inspect_err(|_| D::release(function, &state))?;
        let raw = unit.as_raw();
        let private = Private {
            _unit: unit,
            member,
            state,
        };
        Ok((raw, KBox::write(room, private)))
    }

    fn probe_finalize(dev: DeviceOf<'_, D>) {
        dev.with(|function, state| D::probe_finalize(function, state));
        if let (Some(private), Some(function)) = (dev.private(), dev.function()) {
            private.member.set_group(function.group());
        }
    }

    /// `iommu_ops::release_device`.
    ///
    /// # Safety
    ///
    /// As for `probe_finalize_callback`; the operations are not called for the device afterwards.
    unsafe extern "C" fn release_device_callback(dev: *mut bindings::device) {
        let call = Call::new();
        // SAFETY: As required of us.
        let dev = unsafe { DeviceOf::<D>::from_c(dev, &call) };
        if let (Some(private), Some(function)) = (dev.private(), dev.function()) {
            private.member.set_group(function.group());
        }
        dev.with(|function, state| D::release(function, state));
        // `dev_iommu_priv_set()` is for probing only: it wants a lock that is not held when a
        // device goes.
        // SAFETY: As in `DeviceOf::state`, and the field is ours.
        let private =
            unsafe { core::mem::replace(&mut (*dev.iommu()).priv_, core::ptr::null_mut()) };
        if !private.is_null() {
            // SAFETY: `probe_device` stored a box, and nobody uses it any more, as required of us.
            let private = unsafe { KBox::from_raw(private.cast::<Private<D>>()) };
            let member = private.member.clone();
            // May sleep. The unit stays as long as it knows a device that is not released.
            drop(private);
            member.set_released();
        }
    }

    fn device_group(dev: DeviceOf<'_, D>) -> *mut bindings::iommu_group {
        // SAFETY: Only PCI functions pass `probe_device`.
        unsafe { bindings::pci_device_group(dev.0.as_raw()) }
    }

    fn capable(dev: DeviceOf<'_, D>, capability: bindings::iommu_cap) -> bool {
        let capability = match capability {
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
        dev.enter()
            .is_some_and(|(_entered, state)| D::capable(state, capability))
    }

    fn get_resv_regions(dev: DeviceOf<'_, D>, mut list: ReservedRegions<'_>) {
        dev.with(|function, state| D::reserved_regions(function, state, &mut list));
    }

    fn def_domain_type(dev: DeviceOf<'_, D>) -> i32 {
        let default = dev.with(|function, state| D::default_domain(function, state));
        let kind = match default.unwrap_or(DefaultDomain::Any) {
            DefaultDomain::Any => 0,
            DefaultDomain::Identity => bindings::__IOMMU_DOMAIN_PT,
            DefaultDomain::Dma => {
                bindings::__IOMMU_DOMAIN_PAGING | bindings::__IOMMU_DOMAIN_DMA_API
            }
        };
        kind as i32
    }

    fn domain_alloc_paging_flags(
        dev: DeviceOf<'_, D>,
        flags: u32,
        user_data: *const bindings::iommu_user_data,
    ) -> *mut bindings::iommu_domain {
        if !user_data.is_null() {
            return eopnotsupp().to_ptr();
        }
        let domain = dev
            .enter()
            .ok_or(ENODEV)
            .and_then(|(_entered, state)| D::alloc_paging(state, flags));
        match domain {
            Ok(domain) => Domain::into_raw(domain),
            Err(e) => e.to_ptr(),
        }
    }

    fn attach_identity(dev: DeviceOf<'_, D>, pasid: u32, old: RawOldDomain<'_, D>) -> i32 {
        dev.attach(pasid, old, false, D::attach_identity)
    }

    fn attach_blocked(dev: DeviceOf<'_, D>, pasid: u32, old: RawOldDomain<'_, D>) -> i32 {
        dev.attach(pasid, old, true, |state, pasid, old| {
            D::attach_blocked(state, pasid, old);
            Ok(())
        })
    }
}
