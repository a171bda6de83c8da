// SPDX-License-Identifier: GPL-2.0

//! What KVM calls, in terms of C. Not to be used but by [`coalesced_io!`](crate::sys::coalesced_io).

use crate::sys::debugfs;
use crate::sys::list::List;
pub(crate) use crate::sys::list::RawVm;
use crate::sys::per_vm::PerVm;
use crate::sys::slots::Vm;
use crate::sys::zone::Request;
use crate::sys::CoalescedIo;
use kernel::error::from_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use linux::abi::Object;
use linux::bindings;

/// `struct kvm_coalesced_mmio_zone`.
pub(crate) type RawZone = bindings::kvm_coalesced_mmio_zone;

/// For a VM that nobody else knows yet.
pub(crate) fn init(vm: &RawVm) -> c_int {
    // SAFETY: May be called by anybody who may sleep.
    let ring = unsafe { bindings::siov_helper_kvm_alloc_ring() };
    if ring.is_null() {
        return ENOMEM.to_errno();
    }
    // SAFETY: The VM's fields for coalesced I/O are ours to set.
    unsafe { bindings::siov_helper_kvm_set_ring(vm.as_raw(), ring) };
    0
}

/// For a VM on which [`init`], or its like in C, has been called, whose buses and folder in debugfs are
/// gone, and that nobody else uses any more.
pub(crate) fn free<T: CoalescedIo>(vm: &RawVm) {
    // SAFETY: Nobody else uses the VM.
    PerVm::<T>::release(&unsafe { List::new(vm) });
    // SAFETY: The last user has gone; null is fine.
    unsafe { bindings::siov_helper_kvm_free_ring(vm.as_raw()) };
}

/// For a VM in use.
pub(crate) fn register<T: CoalescedIo>(vm: &Vm<T>, zone: &RawZone) -> c_int {
    from_result(|| T::register(vm, &Request::from_raw(zone)).map(|()| 0))
}

/// As [`register`].
pub(crate) fn unregister<T: CoalescedIo>(vm: &Vm<T>, zone: &RawZone) -> c_int {
    from_result(|| T::unregister(vm, &Request::from_raw(zone)).map(|()| 0))
}

/// As [`register`], but none of these functions is called for the VM again: our zones that are left stay,
/// and C has the rest.
pub(crate) fn retire<T: CoalescedIo>(vm: &Vm<T>) {
    // Before the lock, because it waits for readers, who take the lock.
    debugfs::remove(vm.raw());
    vm.lock_slots().release();
}
