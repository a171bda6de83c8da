// SPDX-License-Identifier: GPL-2.0

//! Memory regions behind BARs.

use std::ffi::c_void;
use std::rc::{Rc, Weak};

use crate::call::Call;
use crate::device::{Bar, Device};
use crate::ffi::{PciDevice, RegionOps, Storage, BAR_64};
use crate::instance::Instance;
use crate::layout::aligned_words;
use crate::qemu::Qemu;

/// A region. QEMU keeps pointers into it as long as the object lives.
pub(crate) struct Region<D: Device> {
    instance: Weak<Instance<D>>,
    bar: u8,
    ops: RegionOps,
    storage: Storage,
}

impl<D: Device> Region<D> {
    /// Makes a region and registers its BAR.
    ///
    /// # Safety
    ///
    /// `device` is being realized, has no such BAR yet, and ends before the result.
    pub(crate) unsafe fn new(
        qemu: &Qemu,
        device: &PciDevice,
        instance: Weak<Instance<D>>,
        bar: &Bar,
    ) -> Rc<Self> {
        let region = Rc::new(Self {
            instance,
            bar: bar.number,
            ops: aligned_words(
                read_callback::<D>,
                write_callback::<D>,
                qemu.layout.little_endian,
            ),
            storage: Storage::new(),
        });
        let (ops, opaque) = (&raw const region.ops, Rc::as_ptr(&region));
        let (owner, memory) = (device.as_ref().as_ptr(), region.storage.as_ptr());
        let (init, name) = (qemu.symbols.memory_region_init_io, bar.name.as_ptr());
        // SAFETY: all that is passed lives as long as the device; the size of the structure was
        // checked. QEMU calls the operations with the region.
        unsafe { init(memory, owner, ops, opaque.cast_mut().cast(), name, bar.size) };
        let register = qemu.symbols.pci_register_bar;
        // SAFETY: the device is being realized and has no such BAR; the region lives as long as it.
        unsafe { register(device.as_ptr(), bar.number.into(), BAR_64, memory) };
        region
    }
}

fn read<D: Device>(region: &Region<D>, at: u64, size: u32) -> u64 {
    let instance = region.instance.upgrade();
    let value = instance.and_then(|instance| {
        instance.enter(|device, host| device.read(region.bar, at, size, host))
    });
    value.unwrap_or(u64::MAX)
}

fn write<D: Device>(region: &Region<D>, at: u64, value: u64, size: u32) {
    if let Some(instance) = region.instance.upgrade() {
        instance.enter(|device, host| device.write(region.bar, at, size, value, host));
    }
}

/// `MemoryRegionOps.read`.
///
/// # Safety
///
/// For regions of [`Region::new`] of the same `D`.
unsafe extern "C" fn read_callback<D: Device>(region: *mut c_void, at: u64, size: u32) -> u64 {
    let call = Call::new();
    // SAFETY: such a region, which lives as long as QEMU's.
    read::<D>(unsafe { call.lend_opaque(region) }, at, size)
}

/// `MemoryRegionOps.write`.
///
/// # Safety
///
/// For regions of [`Region::new`] of the same `D`.
unsafe extern "C" fn write_callback<D: Device>(
    region: *mut c_void,
    at: u64,
    value: u64,
    size: u32,
) {
    let call = Call::new();
    // SAFETY: such a region, which lives as long as QEMU's.
    write::<D>(unsafe { call.lend_opaque(region) }, at, value, size);
}
