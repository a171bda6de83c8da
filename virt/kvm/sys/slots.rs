// SPDX-License-Identifier: GPL-2.0

//! A VM and the lock of its zones.

use crate::sys::list::c::siov_helper_kvm_slots_lock;
use crate::sys::list::{List, RawVm};
use crate::sys::per_vm::PerVm;
use crate::sys::zone::{Node, Request};
use crate::sys::CoalescedIo;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::sync::ArcBorrow;
use kernel::types::NotThreadSafe;
use linux::abi::Object;
use linux::bindings;

/// A VM that is initialised, and whose zones that are not C's are those of `T`. References come from KVM.
#[repr(transparent)]
pub(crate) struct Vm<T: CoalescedIo> {
    kvm: RawVm,
    _zones: PhantomData<T>,
}

impl<T: CoalescedIo> Vm<T> {
    pub(crate) fn raw(&self) -> &RawVm {
        &self.kvm
    }

    /// Takes `slots_lock`, under which zones come and go.
    pub(crate) fn lock_slots(&self) -> Slots<'_, T> {
        // SAFETY: The VM is initialised, and the lock is held until `Slots` is dropped, with the list in it.
        let list = unsafe {
            bindings::mutex_lock(siov_helper_kvm_slots_lock(&self.kvm));
            List::new(&self.kvm)
        };
        Slots {
            list,
            _zones: PhantomData,
            _here: PhantomData,
        }
    }
}

/// The zones of a VM, while `slots_lock` is held.
pub(crate) struct Slots<'a, T: CoalescedIo> {
    list: List<'a>,
    _zones: PhantomData<&'a T>,
    _here: PhantomData<NotThreadSafe>,
}

impl<T: CoalescedIo> Drop for Slots<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock_slots()`.
        unsafe { bindings::mutex_unlock(siov_helper_kvm_slots_lock(self.list.vm())) };
    }
}

impl<T: CoalescedIo> Slots<'_, T> {
    /// Data of the VM, if it ever had a zone.
    pub(crate) fn per_vm(&self) -> Option<ArcBorrow<'_, PerVm<T>>> {
        PerVm::of(&self.list)
    }

    /// Makes a zone of what `request` asks for. Writes may come before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `ENOSPC` when the bus is full (`NR_IOBUS_DEVS`).
    pub(crate) fn add(&self, request: &Request, zone: T::Zone) -> Result {
        let vm = match self.per_vm() {
            Some(vm) => vm.into(),
            None => PerVm::new(&self.list)?,
        };
        Node::add(&self.list, vm, request, zone)
    }

    /// Takes every zone off its bus for which `is_meant` says so; C's as well as ours. When the memory
    /// for a smaller bus is not to be had, KVM drops all devices of that bus, and with them the zones.
    pub(crate) fn remove_if(&self, mut is_meant: impl FnMut(&Request) -> bool) {
        let mut next = self.list.first();
        while let Some(dev) = next {
            next = self.list.after(dev);
            if !is_meant(&self.list.look_at(dev).0) {
                continue;
            }
            let kvm = self.list.vm().as_raw();
            // SAFETY: The lock is held, and the device is in the list and so on the bus. Nobody keeps a
            // reference to a zone beyond the lock.
            let result = unsafe { bindings::siov_helper_kvm_unregister_zone(kvm, dev.as_ptr()) };
            if result != 0 {
                // All zones of the bus are gone, `next` may be one of them.
                break;
            }
        }
    }

    /// Visits the zones in the order in which they were added.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&T::Zone)) {
        let Some(vm) = self.per_vm() else {
            return;
        };
        let mut next = self.list.first();
        while let Some(dev) = next {
            next = self.list.after(dev);
            if let Some(zone) = Node::zone_of(&vm, &self.list, dev) {
                f(zone);
            }
        }
    }

    /// Forgets the VM's data; the zones stay.
    pub(crate) fn release(&self) {
        PerVm::<T>::release(&self.list);
    }
}
