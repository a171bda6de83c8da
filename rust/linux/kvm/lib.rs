// SPDX-License-Identifier: GPL-2.0

//! Coalesced I/O inside of KVM: the fields of `struct kvm` that belong to it, and devices on a VM's
//! buses. For code that becomes part of kvm.ko, or patches it.
//!
//! C headers: [`include/linux/kvm_host.h`](srctree/include/linux/kvm_host.h),
//! [`include/kvm/iodev.h`](srctree/include/kvm/iodev.h), `virt/kvm/coalesced_mmio.h`
//!
//! Implement [`CoalescedIo`] and name the type to [`coalesced_io!`].
//!
//! # What belongs to whom
//!
//! `kvm->coalesced_zones` lists C's `struct kvm_coalesced_mmio_dev`, and so do we: a zone starts with
//! one. The first element, from the first zone of a VM on, is [`PerVm`], which no request can mean. So
//! a VM that C code has set up, or C code that takes over again, finds what it expects; a live patch
//! needs that.
//!
//! Lock order: `kvm->slots_lock`, then `kvm->ring_lock`.

mod debugfs;
#[doc(hidden)]
pub mod entry;
mod list;
mod module;
mod per_vm;
mod slots;
mod zone;

pub use per_vm::{PerVm, RingGuard};
pub use slots::{Slots, Vm};
pub use zone::Request;

use kernel::fmt;
use kernel::prelude::*;

/// What coalesced I/O is made of. All functions but [`CoalescedIo::write`] may sleep.
pub trait CoalescedIo: Sized + 'static {
    /// Data of a VM, made with its first zone.
    type Vm: Default + Send + Sync;

    /// Data of a zone.
    type Zone: Send + Sync;

    /// `KVM_REGISTER_COALESCED_MMIO`.
    ///
    /// # Errors
    ///
    /// What the ioctl returns.
    fn register(vm: &Vm<Self>, request: &Request) -> Result;

    /// `KVM_UNREGISTER_COALESCED_MMIO`.
    ///
    /// # Errors
    ///
    /// What the ioctl returns.
    fn unregister(vm: &Vm<Self>, request: &Request) -> Result;

    /// A guest writes `bytes`, at most 8, to an address that may belong to `zone`; vCPUs do so at the
    /// same time. Returns whether the write is done; otherwise KVM looks for somebody else, and in the
    /// end asks user space.
    fn write(vm: &PerVm<Self>, zone: &Self::Zone, addr: u64, bytes: &[u8]) -> bool;

    /// `zone` is off the bus, and goes.
    fn removed(vm: &Self::Vm, zone: &Self::Zone);

    /// Prints the file `coalesced_io` in the VM's folder of debugfs.
    ///
    /// # Errors
    ///
    /// Those of the formatter.
    fn show(slots: &Slots<'_, Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Defines the functions by which KVM calls `$type`, which implements [`CoalescedIo`].
#[macro_export]
macro_rules! coalesced_io {
    ($type:ty) => {
        /// Called by KVM when a VM is made, which nobody else knows yet. Returns 0 or a negative error number.
        #[no_mangle]
        pub extern "C" fn kvm_coalesced_mmio_init(
            kvm: &$crate::entry::RawVm,
        ) -> ::kernel::ffi::c_int {
            $crate::entry::init(kvm)
        }

        /// Called by KVM when a VM goes, after its buses, when nobody else uses it any more.
        #[no_mangle]
        pub extern "C" fn kvm_coalesced_mmio_free(kvm: &$crate::entry::RawVm) {
            $crate::entry::free::<$type>(kvm)
        }

        /// `KVM_REGISTER_COALESCED_MMIO` for a VM in use. Returns 0 or a negative error number.
        #[no_mangle]
        pub extern "C" fn kvm_vm_ioctl_register_coalesced_mmio(
            kvm: &$crate::Vm<$type>,
            zone: &$crate::entry::RawZone,
        ) -> ::kernel::ffi::c_int {
            $crate::entry::register(kvm, zone)
        }

        /// `KVM_UNREGISTER_COALESCED_MMIO` for a VM in use. Returns 0 or a negative error number.
        #[no_mangle]
        pub extern "C" fn kvm_vm_ioctl_unregister_coalesced_mmio(
            kvm: &$crate::Vm<$type>,
            zone: &$crate::entry::RawZone,
        ) -> ::kernel::ffi::c_int {
            $crate::entry::unregister(kvm, zone)
        }

        /// Called by a live patch that ends, for each VM in use, for which none of the functions above is
        /// called any more.
        #[no_mangle]
        pub extern "C" fn siov_coalesced_io_retire(kvm: &$crate::Vm<$type>) {
            $crate::entry::retire(kvm)
        }
    };
}
