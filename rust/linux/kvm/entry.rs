// SPDX-License-Identifier: GPL-2.0

//! What KVM calls, in terms of C. Not to be used but by [`coalesced_io!`](crate::coalesced_io).

use crate::debugfs;
use crate::per_vm::PerVm;
use crate::slots::Vm;
use crate::zone::Request;
use crate::CoalescedIo;
use kernel::error::from_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use linux::bindings;

/// `struct kvm`.
pub type RawVm = bindings::kvm;
/// `struct kvm_coalesced_mmio_zone`.
pub type RawZone = bindings::kvm_coalesced_mmio_zone;

/// # Safety
///
/// `kvm` is a VM that nobody else knows yet.
pub unsafe fn init(kvm: *mut RawVm) -> c_int {
    // SAFETY: May be called by anybody who may sleep.
    let ring = unsafe { bindings::siov_helper_kvm_alloc_ring() };
    if ring.is_null() {
        return ENOMEM.to_errno();
    }
    // SAFETY: `kvm` is valid, and its fields for coalesced I/O are ours to set.
    unsafe { bindings::siov_helper_kvm_set_ring(kvm, ring) };
    0
}

/// # Safety
///
/// `kvm` is a VM on which [`init`], or its like in C, has been called, whose buses and folder in
/// debugfs are gone, and that nobody else uses any more.
pub unsafe fn free<T: CoalescedIo>(kvm: *mut RawVm) {
    // SAFETY: No zone is left to refer to it, and no file.
    unsafe { PerVm::<T>::free(kvm) };
    // SAFETY: The last user has gone; null is fine.
    unsafe { bindings::siov_helper_kvm_free_ring(kvm) };
}

/// # Safety
///
/// `kvm` is a VM in use, on which [`init`], or its like in C, has been called; `zone` points to the
/// request.
pub unsafe fn register<T: CoalescedIo>(kvm: *mut RawVm, zone: *const RawZone) -> c_int {
    // SAFETY: As required of us.
    let (vm, request) = unsafe { (Vm::<T>::from_raw(kvm), Request::from_raw(&*zone)) };
    from_result(|| T::register(vm, &request).map(|()| 0))
}

/// # Safety
///
/// As for [`register`].
pub unsafe fn unregister<T: CoalescedIo>(kvm: *mut RawVm, zone: *const RawZone) -> c_int {
    // SAFETY: As required of us.
    let (vm, request) = unsafe { (Vm::<T>::from_raw(kvm), Request::from_raw(&*zone)) };
    from_result(|| T::unregister(vm, &request).map(|()| 0))
}

/// # Safety
///
/// As for [`register`], and none of these functions is called for the VM again: our zones that are left
/// stay, and C has the rest.
pub unsafe fn retire<T: CoalescedIo>(kvm: *mut RawVm) {
    // Before the lock, because it waits for readers, who take the lock.
    // SAFETY: The VM is in use.
    unsafe { debugfs::remove(kvm) };
    // SAFETY: As required of us.
    let _slots = unsafe { Vm::<T>::from_raw(kvm) }.lock_slots();
    // SAFETY: The lock is held, and the file is gone.
    unsafe { PerVm::<T>::retire(kvm) };
}
