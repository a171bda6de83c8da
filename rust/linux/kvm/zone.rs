// SPDX-License-Identifier: GPL-2.0

//! A zone: a device on one of the VM's buses.

use crate::per_vm::PerVm;
use crate::CoalescedIo;
use core::mem::{offset_of, size_of};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use siov_ring::{Data, Ring, Space, Zone};
use static_assertions::const_assert_eq;

// What bindgen makes of the kernel's headers is what the pure crate says, and the C compiler (see
// helpers_kvm.c).
const_assert_eq!(
    bindings::siov_kvm_layout_SIOV_KVM_RING_ENTRIES,
    Ring::ENTRIES
);
const_assert_eq!(Ring::BYTES, kernel::page::PAGE_SIZE);
const_assert_eq!(size_of::<bindings::kvm_coalesced_mmio_zone>(), 16);
const_assert_eq!(size_of::<bindings::kvm_coalesced_mmio_dev>(), 48);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, list), 0);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, dev), 16);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, kvm), 24);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, zone), 32);

/// `struct kvm_coalesced_mmio_zone`: a range, as user space gave it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Guest physical address, or port.
    pub addr: u64,
    /// Bytes.
    pub size: u32,
    /// 0 for MMIO, 1 for PIO; user space may have stored anything.
    pub pio: u32,
}

impl Request {
    pub(crate) fn from_raw(raw: &bindings::kvm_coalesced_mmio_zone) -> Self {
        Self {
            addr: raw.addr,
            size: raw.size,
            pio: raw.__bindgen_anon_1.bindgen_union_field,
        }
    }

    fn raw(&self) -> bindings::kvm_coalesced_mmio_zone {
        // Not by `default()`, which would have to be linked from the crate linux.
        bindings::kvm_coalesced_mmio_zone {
            addr: self.addr,
            size: self.size,
            __bindgen_anon_1: bindings::kvm_coalesced_mmio_zone__bindgen_ty_1 {
                pad: bindings::__BindgenUnionField::new(),
                pio: bindings::__BindgenUnionField::new(),
                bindgen_union_field: self.pio,
            },
        }
    }

    /// The range in the address space it belongs to; `None` if there is no such space.
    pub fn zone(&self) -> Option<Zone> {
        Some(Zone::new(Space::from_raw(self.pio)?, self.addr, self.size))
    }
}

/// A `struct kvm_coalesced_mmio_dev` that is not in a list yet.
pub(crate) fn new_dev(
    kvm: *mut bindings::kvm,
    ops: *const bindings::kvm_io_device_ops,
    request: &Request,
) -> bindings::kvm_coalesced_mmio_dev {
    bindings::kvm_coalesced_mmio_dev {
        list: bindings::list_head::default(),
        dev: bindings::kvm_io_device { ops },
        kvm,
        zone: request.raw(),
    }
}

/// A zone in memory.
///
/// # Invariants
///
/// From when it is on the bus until its destructor has run, `vm` is that of the same VM, and lives.
#[repr(C)]
pub(crate) struct Node<T: CoalescedIo> {
    /// Comes first, so that a pointer to one is a pointer to the other.
    dev: Opaque<bindings::kvm_coalesced_mmio_dev>,
    vm: NonNull<PerVm<T>>,
    zone: T::Zone,
}

impl<T: CoalescedIo> Node<T> {
    const OPS: bindings::kvm_io_device_ops = bindings::kvm_io_device_ops {
        read: None,
        write: Some(Self::write),
        destructor: Some(Self::destroy),
    };

    /// The operations of zones of a new VM. Another call may return another copy, so a VM keeps what it
    /// got: zones are told from those of C by this pointer.
    pub(crate) fn ops() -> *const bindings::kvm_io_device_ops {
        &Self::OPS
    }

    /// The zone whose first field is `dev`, if it is one of ours.
    ///
    /// # Safety
    ///
    /// `dev` is in the list of the VM of `vm`, and stays there for `'a`.
    pub(crate) unsafe fn from_dev<'a>(
        vm: &PerVm<T>,
        dev: NonNull<bindings::kvm_coalesced_mmio_dev>,
    ) -> Option<&'a T::Zone> {
        // SAFETY: Valid; nobody changes `ops`.
        let ops = unsafe { (*dev.as_ptr()).dev.ops };
        // SAFETY: Only zones of ours have these operations.
        (ops == vm.ops()).then(|| unsafe { &dev.cast::<Self>().as_ref().zone })
    }

    /// Puts a zone on the bus and into the list.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `ENOSPC` when the bus is full.
    ///
    /// # Safety
    ///
    /// `slots_lock` of the VM of `vm` is held, and `vm` outlives the zones.
    pub(crate) unsafe fn add(vm: &PerVm<T>, request: &Request, zone: T::Zone) -> Result {
        let kvm = vm.kvm();
        let node = KBox::new(
            Self {
                dev: Opaque::new(new_dev(kvm, vm.ops(), request)),
                vm: NonNull::from(vm),
                zone,
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let node = KBox::into_raw(node);
        // SAFETY: The node is valid; the reference to the field is never a Rust one.
        let dev = unsafe { Opaque::cast_into(&raw const (*node).dev) };
        // SAFETY: The lock is held; the device lives until its destructor is called. As in C, the size
        // becomes a signed number.
        let result = to_result(unsafe {
            bindings::siov_helper_kvm_register_dev(
                kvm,
                request.pio != 0,
                request.addr,
                request.size as c_int,
                &raw mut (*dev).dev,
            )
        });
        if let Err(error) = result {
            // SAFETY: It came from a box, and the bus did not take it.
            drop(unsafe { KBox::from_raw(node) });
            return Err(error);
        }
        // SAFETY: The lock that guards the list is held.
        unsafe {
            bindings::siov_helper_kvm_add_zone(kvm, &raw mut (*dev).list);
            vm.zone_came();
        }
        Ok(())
    }

    /// # Safety
    ///
    /// `this` is the `dev` of the C part of a node on the bus, and `val` points to `len` bytes.
    unsafe extern "C" fn write(
        _vcpu: *mut bindings::kvm_vcpu,
        this: *mut bindings::kvm_io_device,
        addr: u64,
        len: c_int,
        val: *const c_void,
    ) -> c_int {
        const REFUSED: c_int = -(bindings::EOPNOTSUPP as c_int);
        let len = len as usize;
        // A negative length, too, is too long.
        if len > Data::MAX {
            return REFUSED;
        }
        // SAFETY: The bus calls us with what we registered, inside of an SRCU section that destruction
        // waits for.
        let node = unsafe { &*Self::from_io_device(this) };
        // SAFETY: By the type invariants.
        let vm = unsafe { node.vm.as_ref() };
        // SAFETY: As required of our caller.
        let bytes = unsafe { core::slice::from_raw_parts(val.cast::<u8>(), len) };
        if T::write(vm, &node.zone, addr, bytes) {
            0
        } else {
            REFUSED
        }
    }

    /// # Safety
    ///
    /// `this` is the `dev` of the C part of a node that is off the bus, and this is the last call.
    unsafe extern "C" fn destroy(this: *mut bindings::kvm_io_device) {
        // SAFETY: As required of our caller; the node came from a box.
        let node = unsafe { KBox::from_raw(Self::from_io_device(this).cast_mut()) };
        // SAFETY: In the list since `add()`; `slots_lock` is held, or the VM has no users left.
        unsafe { bindings::siov_helper_kvm_remove_zone(&raw mut (*node.dev.get()).list) };
        // SAFETY: By the type invariants.
        T::removed(unsafe { node.vm.as_ref() }.data(), &node.zone);
        // SAFETY: The node goes now; the lock is held, or the VM has no users left.
        unsafe { PerVm::zone_went(node.vm) };
    }

    /// # Safety
    ///
    /// `this` is the `dev` of the C part of a node.
    unsafe fn from_io_device(this: *mut bindings::kvm_io_device) -> *const Self {
        // SAFETY: So far into the C part, with which the node begins.
        unsafe {
            this.byte_sub(offset_of!(bindings::kvm_coalesced_mmio_dev, dev))
                .cast()
        }
    }
}
