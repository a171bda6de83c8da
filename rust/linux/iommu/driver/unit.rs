// SPDX-License-Identifier: GPL-2.0

//! One remapping unit, as the IOMMU core knows it.
//!
//! The core takes every device of a unit back when it is unregistered, whoever uses the device. It
//! frees the device's `struct dev_iommu`, its group and the group's domains, and none of those who
//! use them is waited for. So a unit is unregistered only while nobody does, and none can begin to:
//!
//! - no device comes, since the unit takes none from when it is certain to go, and none goes, with
//!   the kernel's lock for that held ([`Hotplug`]);
//! - no driver is bound or unbound, with the devices' locks held ([`LockedDevices`]), and those
//!   that are bound do not use the IOMMU ([`Member::is_in_use`]);
//! - what is left are users with the mutex of the group, which the core takes itself, and calls of
//!   the driver's functions from which the registration is dropped: those are counted.
//!
//! Drivers of physical functions remove virtual ones without the lock for that. Such a device is
//! not on its bus any more when the unit is unregistered, and is released by the one who removes
//! it. So a unit knows its devices until the core is done with them, and waits for that before its
//! operations go ([`Member::wait_until_released`]).
//!
//! Lock order: [`Hotplug`], devices, [`Unit::members`]. Others take the first two in this order or
//! the other one, so nobody waits here for a device with [`Hotplug`] held. The core's locks (probe,
//! group) are taken outside of [`Unit::members`], and inside of the others.

use super::{Core, Driver};
use crate::bindings;
use crate::count::Count;
use crate::iommu::Group;
use crate::module::{wait_for_callers, InUse, Kind};
use crate::object::Object;
use crate::pci::{self, DeviceExt};
use core::mem::{offset_of, ManuallyDrop};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{new_mutex, Arc, Completion, Mutex, SetOnce};
use kernel::types::Opaque;

/// What a unit knows of a device that it was given.
#[pin_data]
pub(super) struct Member {
    dev: ARef<pci::Device>,
    /// The driver that it had when it was probed, to be compared; null for none.
    first_driver: AtomicPtr<bindings::device_driver>,
    /// Set when the core has probed it completely, or releases it.
    group: SetOnce<ARef<Group>>,
    /// The driver has released it. The core still looks at the operations, if the device has a
    /// group with its mutex held, and does not sleep before that if not.
    is_released: AtomicBool,
    #[pin]
    released: Completion,
    /// Calls of the driver's functions for it, apart from those with the group's mutex held.
    calls: AtomicU32,
    /// PASIDs that are attached to something; changed with the group's mutex held.
    pasids: AtomicUsize,
}

impl Member {
    /// Waits until whoever has the device locked is done with it.
    fn wait_until_unlocked(&self) {
        let dev = self.dev.as_dev().as_raw();
        // SAFETY: The device is valid.
        unsafe { bindings::siov_helper_device_lock(dev) };
        // SAFETY: Locked above.
        unsafe { bindings::siov_helper_device_unlock(dev) };
    }

    /// The core has probed the device, or releases it before it has.
    pub(super) fn set_group(&self, group: Option<ARef<Group>>) {
        if let Some(group) = group {
            // Once: the core does not probe it again.
            let _ = self.group.populate(group);
        }
    }

    /// The driver has released it, and its data is gone. Whoever calls this must not sleep before
    /// returning to the core.
    pub(super) fn set_released(&self) {
        self.is_released.store(true, Ordering::Release);
        self.released.complete_all();
    }

    fn is_released(&self) -> bool {
        self.is_released.load(Ordering::Acquire)
    }

    /// Waits until the core has released it, and is done with the operations: except for one that
    /// had no group, which was not probed completely.
    fn wait_until_released(&self) {
        self.released.wait_for_completion();
        if let Some(group) = self.group.as_ref() {
            // With the mutex held, as the core has it until it is done.
            let _ = group.with_first_device(|_| ());
        }
    }

    /// Whether nobody needs to know it any more: the core is done with it.
    fn is_gone(&self) -> bool {
        // SAFETY: The device is valid; no reference is made.
        let iommu = unsafe { &raw const (*self.dev.as_dev().as_raw()).iommu };
        // SAFETY: As above. C code changes the pointer as a whole, and it is only looked at.
        self.is_released() && unsafe { iommu.read_volatile() }.is_null()
    }

    /// Counts a call, until the result is dropped.
    #[inline]
    pub(super) fn enter(&self) -> Entered<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    /// Counts a PASID that is attached to something, or not any more. With the group's mutex held.
    #[inline]
    pub(super) fn count_pasid(&self, was_attached: bool, is_attached: bool) {
        let mut pasids = Count::new(self.pasids.load(Ordering::Relaxed));
        pasids.add(is_attached.into());
        pasids.sub(was_attached.into());
        self.pasids.store(pasids.get(), Ordering::Relaxed);
    }

    /// The driver that the device has: a field of a `struct pci_driver`.
    fn driver(&self, _locked: &LockedDevices<'_>) -> *mut bindings::device_driver {
        // SAFETY: The device is valid and locked.
        unsafe { (*self.dev.as_dev().as_raw()).driver }
    }

    /// Whether the driver says that it does no DMA by the DMA API: it might claim the group.
    fn has_managed_dma(&self, locked: &LockedDevices<'_>) -> bool {
        let driver = self.driver(locked);
        if driver.is_null() {
            return false;
        }
        let driver = driver.wrapping_byte_sub(offset_of!(bindings::pci_driver, driver));
        // SAFETY: The driver of a PCI function, which is bound while the device is locked.
        unsafe { (*driver.cast::<bindings::pci_driver>()).driver_managed_dma }
    }

    /// Whether somebody uses what the core frees, or may begin to while devices are locked.
    fn is_in_use(
        &self,
        locked: &LockedDevices<'_>,
        ignores_iommu: &impl Fn(&pci::Device) -> bool,
    ) -> bool {
        if self.is_released() {
            return false;
        }
        let Some(group) = self.group.as_ref() else {
            return true;
        };
        if self.calls.load(Ordering::Relaxed) != 0 || self.pasids.load(Ordering::Relaxed) != 0 {
            return true;
        }
        if self.driver(locked).is_null() {
            // Claimed for another device of the group, if at all.
            return group.dma_owner_claimed();
        }
        if self.has_managed_dma(locked) {
            // That of a port does nothing with the IOMMU, and is not assigned to anybody.
            return !self.dev.is_bridge() || group.dma_owner_claimed();
        }
        // The kernel counts one owner less when a driver is unbound that was bound before there was
        // a group to own: the count is right for such drivers alone.
        let is_first = self.driver(locked) == self.first_driver.load(Ordering::Relaxed);
        group.dma_owner_claimed() || !is_first || !ignores_iommu(&self.dev)
    }
}

/// A call that is counted.
pub(super) struct Entered<'a>(&'a Member);

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// No PCI function comes or goes as long as this exists.
struct Hotplug(());

impl Hotplug {
    fn lock() -> Self {
        // SAFETY: May be called where one may sleep.
        unsafe { bindings::pci_lock_rescan_remove() };
        Self(())
    }
}

impl Drop for Hotplug {
    fn drop(&mut self) {
        // SAFETY: Locked in `lock`, by this thread: a value of this file, which stays on its stack.
        unsafe { bindings::pci_unlock_rescan_remove() };
    }
}

/// Devices that are locked, so that no driver is bound or unbound.
struct LockedDevices<'a>(&'a [Arc<Member>]);

impl<'a> LockedDevices<'a> {
    /// Locks them all, without waiting: who holds one may wait for [`Hotplug`], as a write to
    /// `sriov_numvfs` does.
    ///
    /// # Errors
    ///
    /// The first device that is locked by somebody else.
    fn try_new(members: &'a [Arc<Member>]) -> Result<Self, &'a Member> {
        let mut locked = Self(&[]);
        for (index, member) in members.iter().enumerate() {
            // SAFETY: The device is valid.
            if !unsafe { bindings::siov_helper_device_trylock(member.dev.as_dev().as_raw()) } {
                return Err(member);
            }
            locked.0 = members.get(..=index).unwrap_or(members);
        }
        Ok(locked)
    }
}

impl Drop for LockedDevices<'_> {
    fn drop(&mut self) {
        for member in self.0.iter().rev() {
            // SAFETY: Locked in `try_new`, by this thread: a value of this file, which stays on its
            // stack.
            unsafe { bindings::siov_helper_device_unlock(member.dev.as_dev().as_raw()) };
        }
    }
}

/// The devices of a unit.
struct Members {
    /// Those that the driver has released, too, until the core is done with them.
    list: KVec<Arc<Member>>,
    /// Whether there may be more: from when the C structure has its operations and its folder in
    /// sysfs on, until it is certain that they go.
    open: bool,
}

/// A `struct iommu_device` and the driver's data for it.
#[pin_data]
#[repr(C)]
pub struct Unit<D: Driver> {
    iommu: Opaque<bindings::iommu_device>,
    /// Whether it has a [`Registration`], which is unique.
    taken: AtomicBool,
    #[pin]
    members: Mutex<Members>,
    #[pin]
    data: D::Unit,
}

// SAFETY: The C structure is guarded by the IOMMU core; the data is `Send`.
unsafe impl<D: Driver> Send for Unit<D> {}
// SAFETY: As above, and the data is `Sync`.
unsafe impl<D: Driver> Sync for Unit<D> {}

impl<D: Driver> Unit<D> {
    /// A unit that distinguishes `max_pasids` PASIDs of a device (0: none).
    pub fn new(data: impl PinInit<D::Unit, Error>, max_pasids: u32) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                iommu: Opaque::new(bindings::iommu_device {
                    max_pasids,
                    ..Default::default()
                }),
                taken: AtomicBool::new(false),
                members <- new_mutex!(
                    Members {
                        list: KVec::new(),
                        open: false,
                    },
                    "linux::iommu members"
                ),
                data <- data,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Whether devices of the unit can be probed: it is registered, or being registered. Once it
    /// is not, the core takes all its devices back, which nobody uses. A release that is refused
    /// does not change it, nor anything else.
    pub fn is_registered(&self) -> bool {
        self.members.lock().open
    }

    fn set_open(&self, open: bool) {
        self.members.lock().open = open;
    }

    /// Takes a device that the driver has probed.
    ///
    /// # Errors
    ///
    /// `ENODEV` for a unit that is not registered, `ENOMEM`.
    pub(super) fn add(&self, dev: &pci::Device) -> Result<Arc<Member>> {
        let member = Arc::pin_init(
            pin_init!(Member {
                dev: dev.into(),
                first_driver: AtomicPtr::new(crate::device::driver_of(dev.as_dev())),
                group: SetOnce::new(),
                is_released: AtomicBool::new(false),
                released <- Completion::new(),
                calls: AtomicU32::new(0),
                pasids: AtomicUsize::new(0),
            }),
            GFP_KERNEL,
        )?;
        let mut members = self.members.lock();
        if !members.open {
            return Err(ENODEV);
        }
        members.list.retain(|other| !other.is_gone());
        members.list.push(member.clone(), GFP_KERNEL)?;
        Ok(member)
    }

    /// The devices that it has.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn members(&self) -> Result<KVec<Arc<Member>>> {
        let members = self.members.lock();
        let mut list = KVec::with_capacity(members.list.len(), GFP_KERNEL)?;
        for member in &members.list {
            list.push(member.clone(), GFP_KERNEL)?;
        }
        Ok(list)
    }

    /// Takes no more devices, unless one has come since it had `known`.
    fn close(&self, known: &[Arc<Member>]) -> bool {
        let mut members = self.members.lock();
        // The last one comes last.
        let is_known = match (members.list.last(), known.last()) {
            (Some(last), Some(known)) => Arc::ptr_eq(last, known),
            (last, _) => last.is_none(),
        };
        if is_known {
            members.open = false;
        }
        is_known
    }

    /// Waits until the core is done with all devices of a unit that it does not know any more.
    fn wait_until_released(&self) {
        loop {
            let last = self.members.lock().list.pop();
            match last {
                Some(member) => member.wait_until_released(),
                None => break,
            }
        }
        // Those that are returning from the driver's functions.
        wait_for_callers();
    }
}

// SAFETY: `iommu` is the first field of a `repr(C)` structure.
unsafe impl<D: Driver> Object<bindings::iommu_device> for Unit<D> {}

impl<D: Driver> core::ops::Deref for Unit<D> {
    type Target = D::Unit;

    fn deref(&self) -> &D::Unit {
        &self.data
    }
}

/// The unit's folder in sysfs; removed when this is dropped.
struct Sysfs<D: Driver> {
    unit: Arc<Unit<D>>,
    core: Arc<Core<D>>,
    // Of the folder's files, and of the registration.
    _in_use: InUse,
}

impl<D: Driver> Sysfs<D> {
    fn new(unit: Arc<Unit<D>>, core: Arc<Core<D>>, name: &CStr) -> Result<Self> {
        if unit.taken.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        let _in_use = InUse::new(Kind::IommuUnit);
        let (groups, format) = (core.groups(), c"%s".as_char_ptr());
        // SAFETY: The unit is pinned in its `Arc` and not registered, and the groups are constant.
        let added = to_result(unsafe {
            let no_parent = core::ptr::null_mut();
            bindings::iommu_device_sysfs_add(
                unit.as_raw(),
                no_parent,
                groups,
                format,
                name.as_char_ptr(),
            )
        });
        if let Err(e) = added {
            unit.taken.store(false, Ordering::Release);
            return Err(e);
        }
        // SAFETY: Nobody else changes the operations of a unit that is not registered. The core
        // sets them only when it registers, and may probe a device of the unit for another one
        // before.
        unsafe { (*unit.as_raw()).ops = core.ops() };
        unit.set_open(true);
        Ok(Self {
            unit,
            core,
            _in_use,
        })
    }
}

impl<D: Driver> Drop for Sysfs<D> {
    fn drop(&mut self) {
        // Also here, for a unit that the core did not take.
        self.unit.set_open(false);
        self.unit.wait_until_released();
        // SAFETY: Added in `new`, and the unit is not registered with the core any more.
        unsafe { bindings::iommu_device_sysfs_remove(self.unit.as_raw()) };
        self.unit.taken.store(false, Ordering::Release);
    }
}

/// A unit in the hands of the IOMMU core. Dropping it takes the unit, and every device of it, back,
/// if none of them is in use; otherwise the unit stays registered, and so does the module
/// ([`crate::module`]).
pub struct Registration<D: Driver> {
    sysfs: ManuallyDrop<Sysfs<D>>,
    registered: bool,
}

impl<D: Driver> Registration<D> {
    /// Registers `unit` as `/sys/class/iommu/<name>`, which probes every device that has no IOMMU
    /// yet: [`Driver::probe`] and the attachment functions run before this returns.
    ///
    /// # Errors
    ///
    /// `EBUSY` for a unit that is registered, those of the IOMMU core.
    pub fn new(unit: Arc<Unit<D>>, core: Arc<Core<D>>, name: &CStr) -> Result<Self> {
        let sysfs = Sysfs::new(unit, core, name)?;
        let no_hwdev = core::ptr::null_mut();
        // The core walks through the devices of a group without its mutex when it has probed them.
        let _hotplug = Hotplug::lock();
        // SAFETY: The unit is not registered, it and the operations are kept by the result; the
        // operations name their module. On error the core has undone all.
        to_result(unsafe {
            bindings::iommu_device_register(sysfs.unit.as_raw(), sysfs.core.ops(), no_hwdev)
        })?;
        Ok(Self {
            sysfs: ManuallyDrop::new(sysfs),
            registered: true,
        })
    }

    /// The unit.
    pub fn unit(&self) -> &Arc<Unit<D>> {
        &self.sysfs.unit
    }

    /// Takes the unit back from the core, unless one of its devices is in use.
    ///
    /// In use is a device that has a driver, apart from the driver of a port; one whose group is
    /// claimed, one with domains at its PASIDs, and one for which a function of the driver is
    /// running. What is plugged in meanwhile has no IOMMU.
    ///
    /// # Errors
    ///
    /// `EBUSY` for a unit with a device in use, `ENOMEM`. It is registered as before.
    pub fn unregister(&mut self) -> Result {
        // SAFETY: There is no device of which anything is said.
        unsafe { self.unregister_with(|_| false) }
    }

    /// As [`Self::unregister`], also if devices for which `ignores_iommu` is true have the driver
    /// that they had when they were probed.
    ///
    /// # Safety
    ///
    /// Nobody uses the IOMMU of a device for which it returns true, and whose group is not claimed,
    /// nor its group, other than with the group's mutex or the device's lock held.
    pub unsafe fn unregister_with(
        &mut self,
        ignores_iommu: impl Fn(&pci::Device) -> bool,
    ) -> Result {
        if !self.registered {
            return Ok(());
        }
        let unit = &self.sysfs.unit;
        loop {
            let hotplug = Hotplug::lock();
            let members = unit.members()?;
            let locked = match LockedDevices::try_new(&members) {
                Ok(locked) => locked,
                Err(busy) => {
                    drop(hotplug);
                    busy.wait_until_unlocked();
                    continue;
                }
            };
            if members
                .iter()
                .any(|member| member.is_in_use(&locked, &ignores_iommu))
            {
                return Err(EBUSY);
            }
            if !unit.close(&members) {
                continue;
            }
            // SAFETY: Registered in `new()`, and still so. Nobody uses any of its devices, nor
            // begins to, as the top of this file says.
            unsafe { bindings::iommu_device_unregister(unit.as_raw()) };
            self.registered = false;
            return Ok(());
        }
    }
}

impl<D: Driver> Drop for Registration<D> {
    fn drop(&mut self) {
        if self.unregister().is_ok() {
            // SAFETY: Not used after this.
            unsafe { ManuallyDrop::drop(&mut self.sysfs) };
        }
    }
}
