// SPDX-License-Identifier: GPL-2.0

//! The functions that KVM and the live patch call by name.
//!
//! C headers: `virt/kvm/coalesced_mmio.h`, `virt/kvm/coalesced_io.h`
//!
//! Locks: KVM holds none of ours around these calls.

use crate::sys::debugfs;
use crate::sys::request::Request;
use crate::sys::vm::{NewVm, UnusedVm, Vm};
use kernel::error::from_result;
use kernel::ffi::c_int;
use linux::bindings;

linux::exports! {
    /// Prepares a VM that is being made. Returns 0 or a negative error number.
    ///
    /// # Safety
    ///
    /// `kvm` is as [`NewVm`] demands. May sleep.
    unsafe fn kvm_coalesced_mmio_init(kvm: *mut bindings::kvm => NewVm<'_>) -> c_int = init;

    /// Frees what is left of a VM's coalesced I/O.
    ///
    /// # Safety
    ///
    /// `kvm` is as [`UnusedVm`] demands. May sleep.
    unsafe fn kvm_coalesced_mmio_free(kvm: *mut bindings::kvm => UnusedVm<'_>) = |vm| vm.free();

    /// `KVM_REGISTER_COALESCED_MMIO`. Returns 0 or a negative error number.
    ///
    /// # Safety
    ///
    /// `kvm` is as [`Vm`] demands, `zone` as [`Request`] demands. May sleep, and `slots_lock` is
    /// not held.
    unsafe fn kvm_vm_ioctl_register_coalesced_mmio(
        kvm: *mut bindings::kvm => Vm<'_>,
        zone: *mut bindings::kvm_coalesced_mmio_zone => Request,
    ) -> c_int = register;

    /// `KVM_UNREGISTER_COALESCED_MMIO`. Returns 0 or a negative error number.
    ///
    /// # Safety
    ///
    /// As for `kvm_vm_ioctl_register_coalesced_mmio`.
    unsafe fn kvm_vm_ioctl_unregister_coalesced_mmio(
        kvm: *mut bindings::kvm => Vm<'_>,
        zone: *mut bindings::kvm_coalesced_mmio_zone => Request,
    ) -> c_int = unregister;

    /// Called by a live patch that is disabled, for each VM in use: leaves the VM to C code. Our
    /// zones that are left stay until that removes them.
    ///
    /// # Safety
    ///
    /// `kvm` is as [`Vm`] demands, and none of the functions above is called for it again. May
    /// sleep, and `slots_lock` is not held.
    unsafe fn siov_coalesced_io_retire(kvm: *mut bindings::kvm => Vm<'_>) = retire;
}

fn init(vm: NewVm<'_>) -> c_int {
    from_result(|| vm.init().map(|()| 0))
}

fn register(vm: Vm<'_>, request: Request) -> c_int {
    from_result(|| crate::register(vm, request).map(|()| 0))
}

fn unregister(vm: Vm<'_>, request: Request) -> c_int {
    from_result(|| crate::unregister(vm, request).map(|()| 0))
}

fn retire(mut vm: Vm<'_>) {
    // Not under the lock, because it waits for readers, which take the lock.
    debugfs::remove(&vm);
    vm.lock_zones().retire();
}
