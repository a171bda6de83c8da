// SPDX-License-Identifier: GPL-2.0

//! A zone: a device on one of the VM's buses.
//!
//! C header: [`include/kvm/iodev.h`](srctree/include/kvm/iodev.h)
//!
//! Locks: a device is registered and destroyed under `kvm->slots_lock`, or destroyed when the VM
//! has no users left. Writes come in sections of `kvm->srcu`, which destruction waits for.

use crate::counts::{CountedZone, Counts, VmCounts};
use crate::sys::list::{Dev, Element, List};
use crate::sys::module;
use crate::sys::per_vm::PerVm;
use crate::sys::request::Request;
use crate::sys::ring::RawRing;
use crate::sys::vm::RawVm;
use core::marker::PhantomData;
use core::mem::{offset_of, size_of};
use kernel::error::to_result;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::object::Object;
use siov_ring::{Data, Zone};
use static_assertions::const_assert_eq;

// What bindgen found is what the C compiler has; see helpers_kvm.c.
const_assert_eq!(size_of::<bindings::kvm_coalesced_mmio_dev>(), 48);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, list), 0);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, dev), 16);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, kvm), 24);
const_assert_eq!(offset_of!(bindings::kvm_coalesced_mmio_dev, zone), 32);

/// The operations of devices, by whose address ours differ from those of C.
static OPS: bindings::kvm_io_device_ops = bindings::kvm_io_device_ops {
    read: None,
    write: Some(write_callback),
    destructor: Some(destructor_callback),
};

/// An element that is not in a list yet.
pub(super) fn new_dev(
    vm: &RawVm,
    ops: *const bindings::kvm_io_device_ops,
    request: Request,
) -> Dev {
    Dev {
        list: bindings::list_head::default(),
        dev: bindings::kvm_io_device { ops },
        kvm: vm.as_raw(),
        zone: request.to_raw(),
    }
}

/// A zone in memory, on a bus and in the list of its VM.
#[repr(C)]
pub(crate) struct Device {
    /// Comes first, so that a pointer to one is a pointer to the other.
    dev: Opaque<Dev>,
    ring: RawRing,
    vm: Arc<PerVm>,
    zone: CountedZone,
}

impl Device {
    /// Puts a zone on the bus of its address space and into the list. Writes may come before this
    /// returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `ENOSPC` when the bus is full (`NR_IOBUS_DEVS`).
    pub(super) fn register(list: &mut List<'_>, vm: Arc<PerVm>, zone: Zone) -> Result {
        let kvm = list.vm();
        let device = KBox::new(
            Self {
                dev: Opaque::new(new_dev(kvm, &raw const OPS, zone.into())),
                ring: RawRing::of(kvm),
                vm,
                zone: CountedZone {
                    zone,
                    counts: Counts::default(),
                },
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let device = KBox::into_raw(device);
        module::get();
        // SAFETY: The list has `slots_lock`. The device stays until it is destroyed, and is not on
        // the bus when this fails.
        let errno = unsafe { bindings::siov_helper_kvm_register(kvm.as_raw(), device.cast()) };
        let registered = to_result(errno);
        if registered.is_err() {
            // SAFETY: From `into_raw`, and nothing else has it.
            drop(unsafe { KBox::from_raw(device) });
            // SAFETY: For the call above. A call that has a `List` keeps the module.
            unsafe { module::put() };
        }
        registered
    }

    /// The zone of an element, if it is one of ours.
    pub(super) fn zone_of<'a>(element: &Element<'a>) -> Option<&'a CountedZone> {
        if !core::ptr::eq(element.ops(), &raw const OPS) {
            return None;
        }
        let device = element.dev().cast::<Self>();
        // SAFETY: Only `register` makes elements with these operations. It is in the list for `'a`,
        // and so not destroyed.
        Some(&unsafe { device.as_ref() }.zone)
    }

    /// The zone.
    #[inline]
    pub(crate) fn zone(&self) -> &CountedZone {
        &self.zone
    }

    /// Data of its VM.
    #[inline]
    pub(crate) fn vm_counts(&self) -> &VmCounts {
        &self.vm
    }

    /// The device that has `dev` in it.
    fn from_dev(dev: *mut bindings::kvm_io_device) -> *mut Self {
        dev.wrapping_byte_sub(offset_of!(Dev, dev)).cast()
    }
}

/// `kvm_io_device_ops::write`. It has the form of `linux::callbacks!`, but `val` and `len` are one
/// argument.
///
/// # Safety
///
/// For devices that `Device::register` made: the bus passes them to their own operations, in a
/// section of `kvm->srcu`, and with a pointer to `len` bytes.
unsafe extern "C" fn write_callback(
    _vcpu: *mut bindings::kvm_vcpu,
    this: *mut bindings::kvm_io_device,
    addr: u64,
    len: c_int,
    val: *const c_void,
) -> c_int {
    let call = Call::new();
    // SAFETY: As the caller promises; the device is destroyed after the section.
    let device = unsafe { &*Device::from_dev(this) };
    // SAFETY: As the caller promises.
    let write = unsafe { GuestWrite::new(addr, len, val, &call) };
    // SAFETY: The VM exists as long as its devices. This task does not hold the lock: no lock is
    // taken under it, and writes do not nest.
    let ring = unsafe { device.ring.unlocked() };
    if write.is_some_and(|write| crate::write(device, ring, write)) {
        0
    } else {
        -(bindings::EOPNOTSUPP as c_int)
    }
}

/// A write of a guest, of up to 8 bytes.
///
/// # Invariants
///
/// `val` points to `len` bytes that can be read for `'call`.
pub(crate) struct GuestWrite<'call> {
    addr: u64,
    len: u32,
    val: *const u8,
    _call: PhantomData<&'call Call>,
}

impl<'call> GuestWrite<'call> {
    /// `None` if there are more bytes, or if `len` is negative.
    ///
    /// # Safety
    ///
    /// `val` points to `len` bytes that can be read until the call ends.
    #[inline]
    unsafe fn new(addr: u64, len: c_int, val: *const c_void, _call: &'call Call) -> Option<Self> {
        // INVARIANT: As required of us.
        (len as usize <= Data::MAX).then_some(Self {
            addr,
            len: len as u32,
            val: val.cast(),
            _call: PhantomData,
        })
    }

    /// Guest physical address, or port.
    #[inline]
    pub(crate) fn addr(&self) -> u64 {
        self.addr
    }

    /// Bytes.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len.into()
    }

    /// What is written. Can be read once only: it may lie in a page that the guest writes at the
    /// same time, as the GHCB of an encrypted one.
    #[inline]
    pub(crate) fn into_data(self) -> Option<Data> {
        match self.len {
            // SAFETY: By the type invariants.
            1 => Some(unsafe { self.val.cast::<[u8; 1]>().read_volatile() }.into()),
            // SAFETY: By the type invariants.
            2 => Some(unsafe { self.val.cast::<[u8; 2]>().read_volatile() }.into()),
            // SAFETY: By the type invariants.
            4 => Some(unsafe { self.val.cast::<[u8; 4]>().read_volatile() }.into()),
            // SAFETY: By the type invariants.
            8 => Some(unsafe { self.val.cast::<[u8; 8]>().read_volatile() }.into()),
            // SAFETY: By the type invariants.
            len => unsafe { read_odd(self.val, len as usize) },
        }
    }
}

/// Reads a part of a write that crosses a page, which may be of any size.
///
/// # Safety
///
/// `val` points to `len` bytes that can be read.
#[cold]
unsafe fn read_odd(val: *const u8, len: usize) -> Option<Data> {
    let mut bytes = [0; Data::MAX];
    let bytes = bytes.get_mut(..len)?;
    for (index, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: Less than `len` bytes are before it.
        let val = unsafe { val.add(index) };
        // SAFETY: As required of us.
        *byte = unsafe { val.read_volatile() };
    }
    Data::new(bytes)
}

linux::callbacks! {
    /// `kvm_io_device_ops::destructor`.
    ///
    /// # Safety
    ///
    /// For devices that `Device::register` made: this is the last call for one, when it is off its
    /// bus.
    unsafe fn destructor_callback(this: *mut bindings::kvm_io_device => Removed) = destroy;
}

/// A device that is off its bus, and still in the list. Nothing else uses it any more, nor the
/// list: `slots_lock` is held, or the VM has no users left.
struct Removed(KBox<Device>);

impl FromC<'_, *mut bindings::kvm_io_device> for Removed {
    unsafe fn from_c(this: *mut bindings::kvm_io_device, _call: &Call) -> Self {
        // SAFETY: From `into_raw` in `register`, and nothing else has it.
        Self(unsafe { KBox::from_raw(Device::from_dev(this)) })
    }
}

fn destroy(Removed(device): Removed) {
    // SAFETY: It is in the list, which nothing else uses.
    unsafe { bindings::siov_helper_kvm_remove_dev(device.dev.get()) };
    device.vm.zone_removed(&device.zone);
    drop(device);
    // SAFETY: For the call in `register`. This is the last thing that is done: see `module`.
    unsafe { module::put() };
}
