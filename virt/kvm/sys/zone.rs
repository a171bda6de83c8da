// SPDX-License-Identifier: GPL-2.0

//! A zone: a device on one of the VM's buses.

use crate::sys::list::{Dev, List, RawVm};
use crate::sys::per_vm::PerVm;
use crate::sys::{module, CoalescedIo};
use core::marker::PhantomData;
use core::mem::{offset_of, size_of};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::abi::{callback1, callback5, Object, Receive};
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
pub(crate) struct Request {
    /// Guest physical address, or port.
    pub(crate) addr: u64,
    /// Bytes.
    pub(crate) size: u32,
    /// 0 for MMIO, 1 for PIO; user space may have stored anything.
    pub(crate) pio: u32,
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
    pub(crate) fn zone(&self) -> Option<Zone> {
        Some(Zone::new(Space::from_raw(self.pio)?, self.addr, self.size))
    }
}

/// A `struct kvm_coalesced_mmio_dev` that is not in a list yet.
pub(crate) fn new_dev(
    vm: &RawVm,
    ops: *const bindings::kvm_io_device_ops,
    request: &Request,
) -> Dev {
    Dev {
        list: bindings::list_head::default(),
        dev: bindings::kvm_io_device { ops },
        kvm: vm.as_raw(),
        zone: request.raw(),
    }
}

/// A zone in memory.
#[repr(C)]
pub(crate) struct Node<T: CoalescedIo> {
    /// Comes first, so that a pointer to one is a pointer to the other.
    dev: Opaque<Dev>,
    vm: Arc<PerVm<T>>,
    zone: T::Zone,
}

impl<T: CoalescedIo> Node<T> {
    /// The operations of zones. Another mention may be another copy, so a VM keeps the one it began with:
    /// zones are told from those of C by this pointer.
    pub(crate) const OPS: &'static bindings::kvm_io_device_ops = &bindings::kvm_io_device_ops {
        read: None,
        write: Some(callback5(Self::write)),
        destructor: Some(callback1(Self::destroy)),
    };

    /// The zone that begins with `dev`, an element of the list, if it is one of ours.
    pub(crate) fn zone_of<'a>(
        vm: &PerVm<T>,
        list: &'a List<'_>,
        dev: NonNull<Dev>,
    ) -> Option<&'a T::Zone> {
        let is_ours = list.look_at(dev).1 == vm.ops();
        // SAFETY: Only zones of ours have these operations.
        is_ours.then(|| unsafe { &dev.cast::<Self>().as_ref().zone })
    }

    /// Puts a zone on the bus and into the list.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `ENOSPC` when the bus is full.
    pub(crate) fn add(
        list: &List<'_>,
        vm: Arc<PerVm<T>>,
        request: &Request,
        zone: T::Zone,
    ) -> Result {
        let kvm = list.vm();
        let dev = Opaque::new(new_dev(kvm, vm.ops(), request));
        let node = KBox::into_raw(KBox::new(Self { dev, vm, zone }, GFP_KERNEL_ACCOUNT)?);
        module::get();
        // SAFETY: The list's lock is held, and the node lives until its destructor is called, or returns
        // to us when the bus does not take it.
        unsafe {
            let added = to_result(bindings::siov_helper_kvm_register_zone(
                kvm.as_raw(),
                node.cast(),
            ));
            if added.is_err() {
                drop(KBox::from_raw(node));
                module::put();
            }
            added
        }
    }

    extern "C" fn write(
        _vcpu: *mut bindings::kvm_vcpu,
        this: OnBus<'_, T>,
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
        // SAFETY: The bus calls us inside of an SRCU section that destruction waits for, and with a pointer
        // to `len` bytes.
        let (node, bytes) = unsafe {
            (
                &*this.node(),
                core::slice::from_raw_parts(val.cast::<u8>(), len),
            )
        };
        if T::write(&node.vm, &node.zone, addr, bytes) {
            0
        } else {
            REFUSED
        }
    }

    /// The last call, off the bus; `slots_lock` is held, or the VM has no users left.
    extern "C" fn destroy(this: OnBus<'_, T>) {
        let node = this.node();
        // SAFETY: In the list since `add()`, and from a box; nobody else uses either any more.
        let node = unsafe {
            bindings::siov_helper_kvm_remove_zone(node.cast());
            KBox::from_raw(node)
        };
        T::removed(node.vm.data(), &node.zone);
        drop(node);
        module::put();
    }
}

/// The `dev` of the C part of a node that is or was on the bus.
#[repr(transparent)]
struct OnBus<'a, T: CoalescedIo>(*mut bindings::kvm_io_device, PhantomData<&'a Node<T>>);

// SAFETY: The bus calls a device's operations with the device, and only nodes have these.
unsafe impl<T: CoalescedIo> Receive<*mut bindings::kvm_io_device> for OnBus<'_, T> {}

impl<T: CoalescedIo> OnBus<'_, T> {
    fn node(&self) -> *mut Node<T> {
        self.0.wrapping_byte_sub(offset_of!(Dev, dev)).cast()
    }
}
