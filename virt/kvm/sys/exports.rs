// SPDX-License-Identifier: GPL-2.0

//! The functions by which KVM, and the live patch, call this object.

use crate::CoalescedRing;

/// Called by KVM when a VM is made, which nobody else knows yet. Returns 0 or a negative error number.
#[no_mangle]
pub(crate) extern "C" fn kvm_coalesced_mmio_init(
    kvm: &super::entry::RawVm,
) -> ::kernel::ffi::c_int {
    super::entry::init(kvm)
}

/// Called by KVM when a VM goes, after its buses, when nobody else uses it any more.
#[no_mangle]
pub(crate) extern "C" fn kvm_coalesced_mmio_free(kvm: &super::entry::RawVm) {
    super::entry::free::<CoalescedRing>(kvm)
}

/// `KVM_REGISTER_COALESCED_MMIO` for a VM in use. Returns 0 or a negative error number.
#[no_mangle]
pub(crate) extern "C" fn kvm_vm_ioctl_register_coalesced_mmio(
    kvm: &super::Vm<CoalescedRing>,
    zone: &super::entry::RawZone,
) -> ::kernel::ffi::c_int {
    super::entry::register(kvm, zone)
}

/// `KVM_UNREGISTER_COALESCED_MMIO` for a VM in use. Returns 0 or a negative error number.
#[no_mangle]
pub(crate) extern "C" fn kvm_vm_ioctl_unregister_coalesced_mmio(
    kvm: &super::Vm<CoalescedRing>,
    zone: &super::entry::RawZone,
) -> ::kernel::ffi::c_int {
    super::entry::unregister(kvm, zone)
}

/// Called by a live patch that ends, for each VM in use, for which none of the functions above is
/// called any more.
#[no_mangle]
pub(crate) extern "C" fn siov_coalesced_io_retire(kvm: &super::Vm<CoalescedRing>) {
    super::entry::retire(kvm)
}
