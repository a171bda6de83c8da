// SPDX-License-Identifier: GPL-2.0

//! The module that this crate is linked into, and what may not outlive it.
//!
//! C code calls a function that it was given until that is taken back. A value whose `drop` takes
//! it back may be forgotten by safe code, and the module be unloaded after that. So each such value
//! has an [`InUse`], which is counted. The kernel frees the memory of a module when nobody has a
//! reference to its folder in sysfs any more (`free_module()`, `mod_sysfs_teardown()`), also when
//! its `init` has failed. Before that it calls notifiers: ours takes such a reference if anything
//! is in use, and never puts it. All code and data stay then, and unloading the module waits for
//! ever.
//!
//! Whoever runs code of a module that is being unloaded, apart from its `exit`, was called by C
//! code through something that has an [`InUse`], whose `drop` waits until such calls have returned;
//! or else by something that has a [`Reference`]. For the former, the number of [`InUse`] does not
//! fall to 0 under anybody's feet. For the latter see [`wait_for_callers`].
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)
//!
//! Lock order: the mutex of this file is taken inside of those of drivers, and the kernel's lock of
//! the notifiers inside of it.

use crate::bindings;
use crate::ffi::Cookie;
use crate::object::Object;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::device::{Bound, Device};
use kernel::ffi::{c_int, c_ulong, c_void};
use kernel::prelude::*;
use kernel::types::Opaque;

/// The module.
fn this() -> *mut bindings::module {
    &raw mut bindings::__this_module
}

/// Its folder in sysfs, which is there from before its `init` on until it is freed.
fn folder() -> *mut bindings::kobject {
    // SAFETY: A field of the module, whose memory is there, as this code is part of it. No
    // reference is made.
    unsafe { &raw mut (*this()).mkobj.kobj }
}

/// What C code was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The handler of an interrupt.
    Interrupt,
    /// A unit, with the operations of an IOMMU driver.
    IommuUnit,
    /// A notifier for blocked requests.
    FaultNotifier,
    /// A handler for blocked requests of an auxiliary domain.
    FaultHandler,
    /// A PCI driver.
    PciDriver,
    /// A system core component.
    SystemCore,
    /// A work item.
    Work,
    /// A driver of mediated devices.
    MdevDriver,
    /// The bus of mediated devices.
    MdevBus,
    /// The registry of auxiliary domains.
    AuxRegistry,
    /// A driver of VFIO containers.
    VfioIommuDriver,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Interrupt,
        Self::IommuUnit,
        Self::FaultNotifier,
        Self::FaultHandler,
        Self::PciDriver,
        Self::SystemCore,
        Self::Work,
        Self::MdevDriver,
        Self::MdevBus,
        Self::AuxRegistry,
        Self::VfioIommuDriver,
    ];

    /// As the message has it.
    fn name(self) -> &'static CStr {
        match self {
            Self::Interrupt => c"interrupt handler",
            Self::IommuUnit => c"IOMMU unit",
            Self::FaultNotifier => c"fault notifier",
            Self::FaultHandler => c"fault handler",
            Self::PciDriver => c"PCI driver",
            Self::SystemCore => c"system core component",
            Self::Work => c"work item",
            Self::MdevDriver => c"mdev driver",
            Self::MdevBus => c"mdev bus",
            Self::AuxRegistry => c"registry of auxiliary domains",
            Self::VfioIommuDriver => c"VFIO IOMMU driver",
        }
    }

    fn count(self) -> &'static AtomicUsize {
        static COUNTS: [AtomicUsize; Kind::ALL.len()] =
            [const { AtomicUsize::new(0) }; Kind::ALL.len()];
        // `ALL` has each of them once, in this order.
        const { assert!(Kind::VfioIommuDriver as usize + 1 == Kind::ALL.len()) };
        let [first, ..] = &COUNTS;
        COUNTS.get(self as usize).unwrap_or(first)
    }
}

/// How many there are of all kinds.
fn in_use() -> usize {
    Kind::ALL
        .into_iter()
        .map(|kind| kind.count().load(Ordering::Relaxed))
        .fold(0, usize::saturating_add)
}

/// C code may call functions of this module, or use its data, as long as this exists. Making and
/// dropping it may sleep.
///
/// A field of whatever undoes that when it is dropped, declared after all others.
pub struct InUse(Kind);

impl InUse {
    /// For what C code is about to be given.
    pub fn new(kind: Kind) -> Self {
        let _locked = Locked::new();
        let first = in_use() == 0;
        // It counts what is in memory: no overflow.
        kind.count().fetch_add(1, Ordering::Relaxed);
        if first {
            // SAFETY: The block is a static of the module, and unregistered with the last `InUse`.
            // It is registered once, which cannot fail.
            unsafe { bindings::register_module_notifier(NOTIFIER.0.get()) };
        }
        Self(kind)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let _locked = Locked::new();
        // Counted in `new`.
        self.0.count().fetch_sub(1, Ordering::Relaxed);
        if in_use() == 0 {
            // SAFETY: Registered with the first. It waits for a call that is under way.
            unsafe { bindings::unregister_module_notifier(NOTIFIER.0.get()) };
        }
    }
}

/// The mutex of this file.
struct Locked(());

impl Locked {
    fn new() -> Self {
        // SAFETY: May be called where one may sleep, as `InUse` says.
        unsafe { bindings::siov_helper_module_lock() };
        Self(())
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: Locked in `new`, by this thread: this value is dropped where it was made.
        unsafe { bindings::siov_helper_module_unlock() };
    }
}

/// Is called when a module comes or goes.
struct Notifier(Opaque<bindings::notifier_block>);

// SAFETY: The block belongs to the C side, which locks it.
unsafe impl Sync for Notifier {}

static NOTIFIER: Notifier = Notifier(Opaque::new(bindings::notifier_block {
    notifier_call: Some(state_callback),
    next: core::ptr::null_mut(),
    priority: 0,
}));

crate::callbacks! {
    /// `notifier_block::notifier_call`.
    ///
    /// # Safety
    ///
    /// For `NOTIFIER`: the chain of modules passes it, and a module.
    unsafe fn state_callback(
        _block: *mut bindings::notifier_block => *mut bindings::notifier_block,
        state: c_ulong => c_ulong,
        module: *mut c_void => Cookie,
    ) -> c_int = state_changed;
}

fn state_changed(_block: *mut bindings::notifier_block, state: c_ulong, module: Cookie) -> c_int {
    // Of our own module this is called after its `exit`, or its `init` that failed, and before it
    // is freed.
    let ends = state == bindings::module_state_MODULE_STATE_GOING as c_ulong
        && module.as_ptr() == this().cast();
    if ends && in_use() != 0 {
        // Whatever is dropped from here on, the module stays: the reference is never put.
        // SAFETY: The folder is there.
        unsafe { bindings::kobject_get(folder()) };
        for kind in Kind::ALL {
            let count = kind.count().load(Ordering::Relaxed);
            if count != 0 {
                // SAFETY: The name is a C string.
                unsafe { bindings::siov_helper_module_leaked(kind.name().as_char_ptr(), count) };
            }
        }
    }
    bindings::NOTIFY_OK as c_int
}

/// A reference to the module: it cannot be unloaded as long as this exists.
///
/// Whoever drops it has yet to return, and the kernel does not ask for it when `init` fails. So
/// what has one belongs to a value with an [`InUse`] that is dropped at the end of the module alone
/// ([`crate::unload`]), and calls [`wait_for_callers`] then.
pub struct Reference(());

impl Reference {
    /// # Errors
    ///
    /// `ENODEV` when the module is being unloaded.
    pub fn new() -> Result<Self> {
        // SAFETY: The module's memory is there, as this code is part of it.
        if !unsafe { bindings::try_module_get(this()) } {
            return Err(ENODEV);
        }
        Ok(Self(()))
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: The reference of `new`.
        unsafe { bindings::module_put(this()) };
    }
}

/// Waits for all tasks that run code of this module, until each has slept or left it.
///
/// For the end of a module some of whose functions C code calls without anything else that keeps
/// the module than a [`Reference`] which they drop: they have yet to return then, and must not
/// sleep until they have.
pub fn wait_for_callers() {
    // SAFETY: May be called where one may sleep.
    unsafe { bindings::synchronize_rcu_tasks() };
}

/// Whether the driver of a device is code of this module: it is unbound before the module is
/// unloaded.
pub fn has_driver_of(dev: &Device<Bound>) -> bool {
    // SAFETY: The device is valid, and its driver stays bound.
    let driver = unsafe { (*dev.as_raw()).driver };
    // SAFETY: As above.
    !driver.is_null() && unsafe { (*driver).owner } == this()
}
