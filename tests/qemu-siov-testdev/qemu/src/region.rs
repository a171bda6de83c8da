// SPDX-License-Identifier: GPL-2.0

//! Memory regions behind BARs.

use std::ffi::c_void;

use crate::device::{Bar, Device};
use crate::ffi::{Object, RegionOps, Storage, BAR_64};
use crate::instance::Instance;
use crate::layout::aligned_words;
use crate::qemu::Qemu;

/// A region. QEMU keeps pointers into it as long as the object lives.
pub(crate) struct Region<D: Device> {
    instance: *const Instance<D>,
    bar: u8,
    ops: RegionOps,
    storage: Storage,
}

impl<D: Device> Region<D> {
    /// Makes a region and registers its BAR.
    ///
    /// # Safety
    ///
    /// `object` is being realized, `instance` is its instance, and the result lives as long as both.
    pub(crate) unsafe fn new(
        qemu: &Qemu,
        object: *mut Object,
        instance: *const Instance<D>,
        bar: &Bar,
    ) -> Box<Self> {
        let region = Box::new(Self {
            instance,
            bar: bar.number,
            ops: aligned_words(read::<D>, write::<D>, qemu.layout.little_endian),
            storage: Storage::new(),
        });
        let opaque = std::ptr::from_ref(&*region).cast_mut().cast();
        let memory = region.storage.as_ptr();
        let symbols = &qemu.symbols;
        // SAFETY: all that is passed lives as long as the object; the size of the structure was checked.
        unsafe {
            let name = bar.name.as_ptr();
            (symbols.memory_region_init_io)(memory, object, &region.ops, opaque, name, bar.size);
            (symbols.pci_register_bar)(object, bar.number.into(), BAR_64, memory);
        }
        region
    }
}

unsafe extern "C" fn read<D: Device>(opaque: *mut c_void, at: u64, size: u32) -> u64 {
    // SAFETY: what new() gave. While it accesses a region QEMU keeps the object alive, and with it
    // instance and region.
    let (region, instance) = unsafe {
        let region = &*opaque.cast::<Region<D>>();
        (region, &*region.instance)
    };
    let value = instance.enter(|device, host| device.read(region.bar, at, size, host));
    value.unwrap_or(u64::MAX)
}

unsafe extern "C" fn write<D: Device>(opaque: *mut c_void, at: u64, value: u64, size: u32) {
    // SAFETY: as in read().
    let (region, instance) = unsafe {
        let region = &*opaque.cast::<Region<D>>();
        (region, &*region.instance)
    };
    instance.enter(|device, host| device.write(region.bar, at, size, value, host));
}
