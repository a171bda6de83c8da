// SPDX-License-Identifier: GPL-2.0

//! Coalesced I/O inside of KVM: the fields of `struct kvm` that belong to it, and devices on a VM's
//! buses. All unsafe code of this object is in this module.
//!
//! C headers: [`include/linux/kvm_host.h`](srctree/include/linux/kvm_host.h),
//! [`include/kvm/iodev.h`](srctree/include/kvm/iodev.h), `virt/kvm/coalesced_mmio.h`
//!
//! # Calls
//!
//! KVM calls the functions of [`entry`], the write operation of [`device`] and the file of
//! [`debugfs`]. Each converts its arguments and calls the function of the same name in the crate's
//! root: `register`, `unregister`, `write` and `show`. Nothing else here depends on the driver.
//!
//! # The list of zones
//!
//! `kvm->coalesced_zones` lists C's `struct kvm_coalesced_mmio_dev`. A zone of ours begins with
//! one, and so does the data of the VM, [`per_vm::PerVm`], which is in the list from the VM's first
//! zone on and which no request can name. So C code finds what it expects, before a live patch as
//! well as after it. The address of the operations says what an element is: those of ours are
//! static variables of this module.
//!
//! # Types
//!
//! A VM comes as a [`Vm`], which only a call of KVM makes, once, and which is not copied. The
//! guards of its locks borrow it mutably, and what is read under a lock borrows the guard. So
//! nothing is locked twice, the list does not change while a reference to a zone exists, and
//! nothing outlives the call.
//!
//! Lock order: `kvm->slots_lock`, then `kvm->ring_lock`.

mod debugfs;
mod device;
pub(crate) mod entry;
mod list;
mod module;
mod per_vm;
mod request;
mod ring;
pub(crate) mod vm;
mod zones;

pub(crate) use device::{Device, GuestWrite};
pub(crate) use request::Request;
pub(crate) use ring::RingLock;
pub(crate) use vm::Vm;
