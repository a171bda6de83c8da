// SPDX-License-Identifier: GPL-2.0

//! The core of mediated devices, a drop-in for the kernel's own with domain types.
//!
//! - this file registers parents and keeps the list of devices;
//! - [`sysfs`] holds what is in the files;
//! - [`domain`] knows who isolates the DMA of a device.
//!
//! Locks, outermost first: `unreg_sem` of a parent (held for reading while a device is created or
//! removed, for writing while the parent leaves; readers never wait for it), the driver core's lock
//! of a device, [`Mdev::known`].

use crate::sys::{
    Bus, Core, Device, DeviceAttribute, DeviceRef, Leaving, New, Parent, Slot, Type, TypeAttribute,
    Uuid,
};
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::{new_mutex, Mutex};

mod domain;
mod sys;
mod sysfs;

module! {
    type: Module,
    name: "mdev",
    authors: ["siov-rs developers"],
    description: "Mediated device core with domain types",
    license: "GPL v2",
}

struct Module {
    _bus: Bus<Mdev>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _bus: Bus::register(Mdev::new())?,
        })
    }
}

/// The instance.
#[pin_data]
struct Mdev {
    /// UUIDs that are taken, on whatever parent.
    #[pin]
    known: Mutex<RBTree<Uuid, ()>>,
}

static SLOT: Slot<Mdev> = Slot::new();

impl Core for Mdev {
    type State = domain::State;

    const TYPE_ATTRIBUTES: &'static [TypeAttribute<Self>] = sysfs::TYPE;
    const DEVICE_ATTRIBUTES: &'static [DeviceAttribute<Self>] = sysfs::DEVICE;

    fn slot() -> &'static Slot<Self> {
        &SLOT
    }

    fn register_parent(&self, parent: New<'_>) -> Result {
        let parent = parent.publish::<Self>()?;
        if parent.link_to_class::<Self>().is_err() {
            dev_warn!(parent.dev(), "Failed to create compatibility class link\n");
        }
        dev_info!(parent.dev(), "MDEV: Registered\n");
        parent.announce(c"MDEV_STATE=registered");
        Ok(())
    }

    fn unregister_parent(&self, parent: Leaving<'_>) {
        dev_info!(parent.parent().dev(), "MDEV: Unregistering\n");
        let alone = parent.wait();
        let parent = alone.parent();
        parent.unlink_from_class::<Self>();
        alone.withdraw::<Self>();
        parent.announce(c"MDEV_STATE=unregistered");
    }

    fn removed(&self, mdev: &Device<Self>) {
        self.release(mdev.uuid(), mdev.parent());
    }
}

impl Mdev {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            known <- new_mutex!(RBTree::new(), "mdev_known"),
        })
    }

    /// Takes a UUID and one of the parent's instances.
    fn claim(&self, uuid: Uuid, parent: &Parent) -> Result {
        let mut known = self.known.lock();
        if known.get(&uuid).is_some() {
            return Err(EEXIST);
        }
        parent.take_instance()?;
        known
            .try_create_and_insert(uuid, (), GFP_KERNEL)
            .inspect_err(|_| parent.return_instance())?;
        Ok(())
    }

    fn release(&self, uuid: Uuid, parent: &Parent) {
        self.known.lock().remove(&uuid);
        parent.return_instance();
    }

    /// Makes a device of type `ty` and binds it to the parent's driver.
    ///
    /// # Errors
    ///
    /// `EEXIST` for a UUID that is taken, `EUSERS` when the driver has no instance left, `ENODEV` when
    /// the parent is leaving, and those of the driver's probe function.
    fn create(&self, ty: &Type, uuid: Uuid) -> Result {
        self.claim(uuid, ty.parent())?;
        self.create_claimed(ty, uuid)
            .inspect_err(|_| self.release(uuid, ty.parent()))
    }

    fn create_claimed(&self, ty: &Type, uuid: Uuid) -> Result {
        let mdev = DeviceRef::<Self>::new(ty, uuid)?;
        let parent = ty.parent().hold().ok_or(ENODEV)?;
        let mdev = mdev.register(&parent)?;
        mdev.bind()?;
        mdev.stay()
    }
}
