// SPDX-License-Identifier: GPL-2.0

//! The structures that the core shares with parent drivers, its bus, and its files in sysfs: all
//! that is unsafe in this module.
//!
//! What has to happen in a certain order for memory to stay valid happens here; [`Core`] decides
//! what the core says and counts. The structures are those of the kernel's own
//! `include/linux/mdev.h`, because parent drivers that were compiled against it must work
//! unchanged. What we keep for a mediated device beyond them follows the C structure
//! ([`Core::State`]).
//!
//! A parent driver's structures (`struct mdev_parent`, `struct mdev_type`) are used only while the
//! parent is registered. A mediated device may outlive its removal, as long as there is a
//! reference to it: it knows its parent by a [`Registration`](registration::Registration) only.
//!
//! Locks, outermost first: a parent's registration that is held (a count, [`registration::Held`]),
//! the driver core's lock of a device, `GLOBAL`, and inside of all others `registration::PARENTS`
//! and `Registration::state`.
//!
//! C header: [`include/linux/mdev.h`](srctree/include/linux/mdev.h)

mod bus;
mod device;
mod driver;
mod export;
mod layout;
mod parent;
mod registration;
mod sysfs;
mod types;

pub(crate) use device::{Device, MaybeMediated};
pub(crate) use linux::sysfs::{Page, Written};
pub(crate) use parent::{send_change, Parent};
pub(crate) use sysfs::{DeviceAttribute, Remover, Text, TypeAttribute};
pub(crate) use types::Type;

use crate::Mdev;
use bus::Bus;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::sync::global_lock;
use linux::bindings;
use linux::unload::UntilUnload;

/// The identity of a mediated device (`guid_t`), in the order of its bytes in memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(crate) struct Uuid([u8; 16]);

/// What the core says, counts and shows. [`Mdev`] implements it.
///
/// Functions are called with the parent's registration held where they say so, and without other
/// locks of this module.
pub(crate) trait Core {
    /// State of the core as a whole, protected by `GLOBAL`.
    type Global: Send + 'static;
    /// Its value when the module is loaded.
    const GLOBAL: Self::Global;

    /// What is kept for each mediated device in addition to the C structure.
    type State: Send + Sync + Default;

    /// Files of a type, `mdev_supported_types/<driver>-<type>/`.
    const TYPE_ATTRIBUTES: &'static [TypeAttribute];
    /// Files of a mediated device.
    const DEVICE_ATTRIBUTES: &'static [DeviceAttribute];

    /// A parent has been registered, and its types are in sysfs.
    fn registered(parent: &Parent);

    /// A parent is about to be unregistered.
    fn unregistering(parent: &Parent);

    /// A parent has been unregistered: this was its device.
    fn unregistered(dev: &kernel::device::Device);

    /// A mediated device has been removed from sysfs. The registration is held, or about to end.
    fn removed(mdev: &Device, parent: &Parent);
}

/// The functions of `include/linux/mdev.h` that concern domain types. [`Mdev`] implements it. Those
/// that return a pointer are [`device`]'s: C code follows it.
pub(crate) trait DomainTypes {
    /// `mdev_set_domain_type()`.
    fn set_domain_type(dev: MaybeMediated<'_>, ty: bindings::mdev_domain_type) -> c_int;

    /// `mdev_get_domain_type()`.
    fn get_domain_type(dev: MaybeMediated<'_>) -> c_int;
}

type Global = <Mdev as Core>::Global;

global_lock! {
    /// What the core has once.
    // SAFETY: `Module::init` initialises it, and it is used by `with_global` alone, which returns
    // `None` before.
    unsafe(uninit) static GLOBAL: Mutex<Global> = Mdev::GLOBAL;
}

/// Whether the locks of this module are initialised. The driver may be built with another type for
/// its module, and C code call it all the same.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Whether [`Module::init`](kernel::Module::init) was called.
fn has_started() -> bool {
    STARTED.load(Ordering::Acquire)
}

/// Calls `f` with what the core has once, locked; `None` before the module has started.
pub(crate) fn with_global<R>(f: impl FnOnce(&mut Global) -> R) -> Option<R> {
    has_started().then(|| f(&mut GLOBAL.lock()))
}

/// The loaded module. Its bus stays registered until the module is unloaded.
pub(crate) struct Module {
    _bus: UntilUnload<Bus>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        static LOADED: AtomicBool = AtomicBool::new(false);

        if LOADED.swap(true, Ordering::Relaxed) {
            return Err(EBUSY);
        }
        // SAFETY: Once, because of `LOADED`.
        unsafe { GLOBAL.init() };
        // SAFETY: As above.
        unsafe { registration::PARENTS.init() };
        STARTED.store(true, Ordering::Release);
        Ok(Self {
            _bus: UntilUnload::new(Bus::register()?),
        })
    }
}
