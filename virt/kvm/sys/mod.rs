// SPDX-License-Identifier: GPL-2.0

//! Coalesced I/O inside of KVM: the fields of `struct kvm` that belong to it, and devices on a VM's
//! buses. For code that becomes part of kvm.ko, or patches it.
//!
//! C headers: [`include/linux/kvm_host.h`](srctree/include/linux/kvm_host.h),
//! [`include/kvm/iodev.h`](srctree/include/kvm/iodev.h), `virt/kvm/coalesced_mmio.h`
//!
//! [`CoalescedIo`] says what coalesced I/O is made of.
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
pub(crate) mod entry;
mod exports;
mod list;
mod module;
mod per_vm;
mod slots;
mod zone;

pub(crate) use per_vm::PerVm;
pub(crate) use slots::{Slots, Vm};
pub(crate) use zone::Request;

use kernel::fmt;
use kernel::prelude::*;

/// What coalesced I/O is made of. All functions but [`CoalescedIo::write`] may sleep.
pub(crate) trait CoalescedIo: Sized + 'static {
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
