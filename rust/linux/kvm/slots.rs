// SPDX-License-Identifier: GPL-2.0

//! A VM and the lock of its zones.

use crate::per_vm::PerVm;
use crate::zone::{Node, Request};
use crate::CoalescedIo;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::types::{NotThreadSafe, Opaque};
use linux::bindings;

/// A VM.
#[repr(transparent)]
pub struct Vm<T: CoalescedIo> {
    kvm: Opaque<bindings::kvm>,
    _zones: PhantomData<T>,
}

impl<T: CoalescedIo> Vm<T> {
    /// # Safety
    ///
    /// `kvm` is initialised and lives for `'a`, and all its zones that are not C's are those of `T`.
    pub(crate) unsafe fn from_raw<'a>(kvm: *mut bindings::kvm) -> &'a Self {
        // SAFETY: The layout is the same.
        unsafe { &*kvm.cast() }
    }

    /// Takes `slots_lock`, under which zones come and go.
    pub fn lock_slots(&self) -> Slots<'_, T> {
        // SAFETY: The VM is initialised.
        unsafe { bindings::mutex_lock(bindings::siov_helper_kvm_slots_lock(self.kvm.get())) };
        Slots {
            vm: self,
            _here: PhantomData,
        }
    }
}

/// The zones of a VM, while `slots_lock` is held.
pub struct Slots<'a, T: CoalescedIo> {
    vm: &'a Vm<T>,
    _here: PhantomData<NotThreadSafe>,
}

impl<T: CoalescedIo> Drop for Slots<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock_slots()`.
        unsafe { bindings::mutex_unlock(bindings::siov_helper_kvm_slots_lock(self.kvm())) };
    }
}

impl<'a, T: CoalescedIo> Slots<'a, T> {
    fn kvm(&self) -> *mut bindings::kvm {
        self.vm.kvm.get()
    }

    /// Data of the VM, if it ever had a zone.
    pub fn per_vm(&self) -> Option<&'a PerVm<T>> {
        // SAFETY: The lock is held.
        unsafe { PerVm::get(self.kvm()) }
    }

    /// Makes a zone of what `request` asks for. Writes may come before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `ENOSPC` when the bus is full (`NR_IOBUS_DEVS`).
    pub fn add(&self, request: &Request, zone: T::Zone) -> Result {
        let vm = match self.per_vm() {
            Some(vm) => vm,
            // SAFETY: The lock is held.
            None => unsafe { PerVm::new(self.kvm()) }?,
        };
        // SAFETY: The lock is held; the data outlives the zones.
        unsafe { Node::add(vm, request, zone) }
    }

    /// Takes every zone off its bus for which `is_meant` says so; C's as well as ours. When the memory
    /// for a smaller bus is not to be had, KVM drops all devices of that bus, and with them the zones.
    pub fn remove_if(&self, mut is_meant: impl FnMut(&Request) -> bool) {
        let mut next = self.first();
        while let Some(dev) = next {
            next = self.after(dev);
            // SAFETY: In the list, whose lock is held.
            let request = Request::from_raw(unsafe { &(*dev.as_ptr()).zone });
            if !is_meant(&request) {
                continue;
            }
            // SAFETY: The lock is held, and the device is in the list and so on the bus. Nobody keeps a
            // reference to a zone beyond the lock.
            let result = unsafe {
                bindings::siov_helper_kvm_unregister_dev(
                    self.kvm(),
                    request.pio != 0,
                    &raw mut (*dev.as_ptr()).dev,
                )
            };
            if result != 0 {
                // All zones of the bus are gone, `next` may be one of them.
                break;
            }
        }
    }

    /// Visits the zones in the order in which they were added.
    pub fn for_each(&self, mut f: impl FnMut(&T::Zone)) {
        let Some(vm) = self.per_vm() else {
            return;
        };
        let mut next = self.first();
        while let Some(dev) = next {
            next = self.after(dev);
            // SAFETY: In the list, whose lock is held.
            if let Some(zone) = unsafe { Node::from_dev(vm, dev) } {
                f(zone);
            }
        }
    }

    fn first(&self) -> Option<NonNull<bindings::kvm_coalesced_mmio_dev>> {
        // SAFETY: The VM is initialised.
        let head = unsafe { bindings::siov_helper_kvm_zones(self.kvm()) };
        self.behind(head)
    }

    fn after(
        &self,
        dev: NonNull<bindings::kvm_coalesced_mmio_dev>,
    ) -> Option<NonNull<bindings::kvm_coalesced_mmio_dev>> {
        self.behind(dev.as_ptr().cast())
    }

    /// `list` is the head of the list or in it, and the lock is held.
    fn behind(
        &self,
        list: *mut bindings::list_head,
    ) -> Option<NonNull<bindings::kvm_coalesced_mmio_dev>> {
        // SAFETY: By the function's precondition, which its private callers meet.
        let (head, next) = unsafe { (bindings::siov_helper_kvm_zones(self.kvm()), (*list).next) };
        if next == head {
            None
        } else {
            NonNull::new(next.cast())
        }
    }
}
