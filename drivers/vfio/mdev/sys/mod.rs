// SPDX-License-Identifier: GPL-2.0

//! Writing the core of mediated devices: the C structures that it shares with parent drivers, its
//! bus, and its files in sysfs.
//!
//! An implementation of [`Core`] decides; this crate carries out. The structures are those of the
//! kernel's own `include/linux/mdev.h`, because parent drivers that were compiled against it must
//! work unchanged. What we keep for a mediated device beyond them lies behind the C structure, in
//! [`Core::State`].
//!
//! What a parent driver owns (`struct mdev_parent`, `struct mdev_type`) is used only while the
//! driver is registered: a mediated device that outlives its removal, because somebody still holds
//! a reference, has a reference to the parent's `struct device` and to nothing else of the parent.
//!
//! C header: [`include/linux/mdev.h`](srctree/include/linux/mdev.h)

mod bus;
mod c;
mod device;
pub(crate) mod export;
mod layout;
mod parent;
mod sysfs;

pub(crate) use bus::{Bus, Slot};
pub(crate) use device::{Device, DeviceRef};
pub(crate) use parent::{Leaving, New, Parent, Shared, Type};
pub(crate) use sysfs::{DeviceAttribute, Page, Remover, Text, TypeAttribute};

use kernel::prelude::*;

/// The identity of a mediated device (`guid_t`), in the order of its bytes in memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(crate) struct Uuid([u8; 16]);

/// An implementation of the mdev core. Functions are called without locks of this crate's held.
pub(crate) trait Core: Sized + Send + Sync + 'static {
    /// What is kept for each mediated device beside the C structure.
    type State: Send + Sync + Default;

    /// Files of a type, `mdev_supported_types/<driver>-<type>/`.
    const TYPE_ATTRIBUTES: &'static [TypeAttribute<Self>];

    /// Files of a mediated device.
    const DEVICE_ATTRIBUTES: &'static [DeviceAttribute<Self>];

    /// Where the instance is found by C code, which brings none.
    fn slot() -> &'static Slot<Self>;

    /// A driver offers a device as parent.
    ///
    /// # Errors
    ///
    /// Go to the driver; nothing of the parent may be used afterwards.
    fn register_parent(&self, parent: New<'_>) -> Result;

    /// A driver takes a parent back. On return nothing of it is in use.
    fn unregister_parent(&self, parent: Leaving<'_>);

    /// A mediated device is about to leave its parent, whichever way, and is no longer in sysfs.
    fn removed(&self, mdev: &Device<Self>);
}
