// SPDX-License-Identifier: GPL-2.0

//! The list of a VM's zones, `kvm->coalesced_zones`.
//!
//! Locks: a [`List`] holds `kvm->slots_lock`.

use crate::sys::request::Request;
use crate::sys::vm::RawVm;
use core::ptr::NonNull;
use kernel::sync::lock::mutex::MutexGuard;
use linux::bindings;
use linux::object::Object;

/// `struct kvm_coalesced_mmio_dev`, with which every element of the list begins.
pub(super) type Dev = bindings::kvm_coalesced_mmio_dev;

/// A list that changes only by the methods of this value.
///
/// # Invariants
///
/// `vm` is initialised, so there is a list, and the guard is that of its `slots_lock`. So there is
/// no other `List` of the VM.
pub(super) struct List<'a> {
    vm: &'a RawVm,
    _slots_lock: MutexGuard<'a, ()>,
}

impl<'a> List<'a> {
    /// # Safety
    ///
    /// `vm` is as [`Vm`](crate::sys::Vm) demands, and the guard is that of its `slots_lock`.
    pub(super) unsafe fn new(vm: &'a RawVm, slots_lock: MutexGuard<'a, ()>) -> Self {
        // INVARIANT: As required of us.
        Self {
            vm,
            _slots_lock: slots_lock,
        }
    }

    pub(super) fn vm(&self) -> &'a RawVm {
        self.vm
    }

    pub(super) fn first(&self) -> Option<Element<'_>> {
        let null = core::ptr::null_mut();
        // SAFETY: By the type invariants there is a list, and it does not change.
        let first = unsafe { bindings::siov_helper_kvm_next_dev(self.vm.as_raw(), null) };
        // INVARIANT: It is in the list, which is borrowed as long as it is used.
        NonNull::new(first).map(|dev| Element { vm: self.vm, dev })
    }

    /// The elements. Zones come in the order in which they were registered.
    pub(super) fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        core::iter::successors(self.first(), |element| element.next())
    }

    /// # Safety
    ///
    /// `dev` is in this list.
    pub(super) unsafe fn element(&self, dev: NonNull<Dev>) -> Element<'_> {
        // INVARIANT: As required of us, and the list is borrowed.
        Element { vm: self.vm, dev }
    }

    /// Puts `dev` in front of all elements.
    ///
    /// # Safety
    ///
    /// `dev` is valid and in no list, and stays valid until it has been removed from this one.
    pub(super) unsafe fn push_front(&mut self, dev: *mut Dev) {
        // SAFETY: As required of us; the lock is held.
        unsafe { bindings::siov_helper_kvm_add_first(self.vm.as_raw(), dev) };
    }

    /// # Safety
    ///
    /// `dev` is in this list.
    pub(super) unsafe fn remove(&mut self, dev: NonNull<Dev>) {
        // SAFETY: As required of us; the lock is held.
        unsafe { bindings::siov_helper_kvm_remove_dev(dev.as_ptr()) };
    }
}

/// An element of a list that is borrowed for `'a`.
///
/// # Invariants
///
/// `dev` is in the list of `vm`, which does not change for `'a`. So it is valid, and its fields
/// that are read here do not change: they never do after an element has been made.
pub(super) struct Element<'a> {
    vm: &'a RawVm,
    dev: NonNull<Dev>,
}

impl<'a> Element<'a> {
    pub(super) fn next(&self) -> Option<Self> {
        // SAFETY: By the type invariants.
        let next =
            unsafe { bindings::siov_helper_kvm_next_dev(self.vm.as_raw(), self.dev.as_ptr()) };
        // INVARIANT: It is in the same list.
        NonNull::new(next).map(|dev| Self { vm: self.vm, dev })
    }

    pub(super) fn dev(&self) -> NonNull<Dev> {
        self.dev
    }

    /// The operations, which say what the element is.
    pub(super) fn ops(&self) -> *const bindings::kvm_io_device_ops {
        // SAFETY: By the type invariants.
        unsafe { (*self.dev.as_ptr()).dev.ops }
    }

    /// The range.
    pub(super) fn request(&self) -> Request {
        // SAFETY: By the type invariants the element is valid, so this is a pointer into it.
        let zone = unsafe { &raw const (*self.dev.as_ptr()).zone };
        // SAFETY: As above.
        unsafe { Request::read(zone) }
    }
}
