// SPDX-License-Identifier: GPL-2.0

//! The core of mediated devices, a drop-in for the kernel's own with domain types.
//!
//! - this file creates devices, counts them, and announces parents;
//! - [`sysfs`] holds what is in the files;
//! - [`domain`] knows who isolates the DMA of a device;
//! - [`sys`] has all that is unsafe: parents, devices and files as C code knows them.
//!
//! Locks, outermost first: a parent's registration, which is held while a device is created or
//! removed, and which can end when it is not held; the driver core's lock of a device;
//! that of [`sys::with_global`]. What [`sys`] takes inside of these is written there.

#![deny(unsafe_code)]

use crate::sys::{
    send_change, with_global, Core, Device, DeviceAttribute, Module, Parent, Type, TypeAttribute,
    Uuid,
};
use kernel::prelude::*;
use kernel::rbtree::RBTree;

mod domain;
#[allow(unsafe_code)]
mod sys;
mod sysfs;

module! {
    type: Module,
    name: "mdev",
    authors: ["siov-rs developers"],
    description: "Mediated device core with domain types",
    license: "GPL v2",
}

/// The core.
struct Mdev;

/// UUIDs that are taken, on any parent; `None` until the first is.
struct Known(Option<RBTree<Uuid, ()>>);

impl Core for Mdev {
    type Global = Known;
    const GLOBAL: Known = Known(None);

    type State = domain::State;

    const TYPE_ATTRIBUTES: &'static [TypeAttribute] = sysfs::TYPE;
    const DEVICE_ATTRIBUTES: &'static [DeviceAttribute] = sysfs::DEVICE;

    fn registered(parent: &Parent) {
        let dev = parent.dev();
        if parent.link_to_class().is_err() {
            dev_warn!(dev, "Failed to create compatibility class link\n");
        }
        dev_info!(dev, "MDEV: Registered\n");
        // An event that finds no memory is lost, as in C.
        let _ = send_change(dev, c"MDEV_STATE=registered");
    }

    fn unregistering(parent: &Parent) {
        dev_info!(parent.dev(), "MDEV: Unregistering\n");
    }

    fn unregistered(dev: &kernel::device::Device) {
        let _ = send_change(dev, c"MDEV_STATE=unregistered");
    }

    fn removed(mdev: &Device, parent: &Parent) {
        drop(Claim {
            uuid: mdev.uuid(),
            parent,
        });
    }
}

/// A UUID and one of the parent's instances, which are given back when this is dropped.
struct Claim<'a> {
    uuid: Uuid,
    parent: &'a Parent,
}

impl<'a> Claim<'a> {
    /// Takes them.
    ///
    /// # Errors
    ///
    /// `EEXIST` for a UUID that is taken, `EUSERS` when the driver has no instance left.
    fn new(uuid: Uuid, parent: &'a Parent) -> Result<Self> {
        let claim = |global: &mut Known| {
            let known = global.0.get_or_insert_default();
            if known.get(&uuid).is_some() {
                return Err(EEXIST);
            }
            parent.take_instance()?;
            known
                .try_create_and_insert(uuid, (), GFP_KERNEL)
                .inspect_err(|_| parent.return_instance())?;
            Ok(Self { uuid, parent })
        };
        with_global(claim).ok_or(ENODEV)?
    }

    /// Leaves them to a device that is in sysfs: [`Mdev::removed`] gives them back.
    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let _ = with_global(|global| global.0.as_mut()?.remove(&self.uuid));
        self.parent.return_instance();
    }
}

impl Mdev {
    /// Makes a device of type `ty`, and binds it to the parent's driver.
    ///
    /// # Errors
    ///
    /// `EEXIST` for a UUID that is taken, `EUSERS` when the driver has no instance left, `ENODEV`
    /// when the parent is being unregistered, and those of the driver's probe function.
    fn create(ty: &Type, uuid: Uuid) -> Result {
        let claim = Claim::new(uuid, ty.parent())?;
        let ty = ty.hold().ok_or(ENODEV)?;
        let mdev = ty.new_device(uuid)?.add()?;
        claim.keep();
        mdev.bind()?;
        mdev.keep()
    }
}
