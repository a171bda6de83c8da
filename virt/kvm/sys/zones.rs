// SPDX-License-Identifier: GPL-2.0

//! The zones of a VM, while its lock is held.
//!
//! Locks: a [`Zones`] holds `kvm->slots_lock`; [`Zones::ring`] is for taking `kvm->ring_lock` as
//! well.

use crate::counts::{CountedZone, VmCounts};
use crate::sys::device::Device;
use crate::sys::list::List;
use crate::sys::per_vm;
use crate::sys::ring::{RawRing, RingLock};
use kernel::prelude::*;
use linux::bindings;
use linux::object::Object;
use siov_ring::Zone;

/// The zones of a VM, those of C as well as ours.
pub(crate) struct Zones<'a>(List<'a>);

impl<'a> Zones<'a> {
    pub(super) fn new(list: List<'a>) -> Self {
        Self(list)
    }

    /// Data of the VM, if it ever had a zone.
    pub(crate) fn vm_counts(&self) -> Option<&VmCounts> {
        per_vm::get(&self.0).map(|vm| &**vm)
    }

    /// Registers a zone. Writes may come before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `ENOSPC` when the bus is full (`NR_IOBUS_DEVS`).
    pub(crate) fn add(&mut self, zone: Zone) -> Result {
        let vm = per_vm::get_or_insert(&mut self.0)?;
        Device::register(&mut self.0, vm, zone)
    }

    /// Unregisters every zone for which `f` returns `true`. When there is no memory for a smaller
    /// bus, KVM removes all devices of that bus, and the zones with them.
    pub(crate) fn remove_if(&mut self, mut f: impl FnMut(&Zone) -> bool) {
        let kvm = self.0.vm().as_raw();
        let mut next = self.0.first().map(|element| element.dev());
        while let Some(dev) = next {
            // SAFETY: It was in the list when it was found. Since then only the one before it was
            // removed.
            let element = unsafe { self.0.element(dev) };
            next = element.next().map(|element| element.dev());
            if !element.request().zone().is_some_and(|zone| f(&zone)) {
                continue;
            }
            // SAFETY: `slots_lock` is held, and the device is one in the list. References to zones
            // borrow the list, or are those of writes, which KVM waits for.
            let result = unsafe { bindings::siov_helper_kvm_unregister(kvm, dev.as_ptr()) };
            if result != 0 {
                // All zones of the bus are gone, `next` may be one of them.
                break;
            }
        }
    }

    /// Calls `f` for each zone of ours, in the order in which they were registered.
    pub(crate) fn for_each(&self, f: impl FnMut(&CountedZone)) {
        self.0
            .iter()
            .filter_map(|element| Device::zone_of(&element))
            .for_each(f);
    }

    /// The VM's ring, to be locked.
    pub(crate) fn ring(&mut self) -> RingLock<'_> {
        // SAFETY: The VM is initialised, and exists as long as this, which is borrowed mutably:
        // there is no other `RingLock` of this call.
        unsafe { RawRing::of(self.0.vm()).unlocked() }
    }

    /// Drops the VM's data; the zones stay.
    pub(super) fn retire(&mut self) {
        per_vm::remove(&mut self.0);
    }
}
