// SPDX-License-Identifier: GPL-2.0

//! Memory regions behind BARs.

use std::rc::{Rc, Weak};

use crate::device::{Bar, Device};
use crate::ffi::{PciDevice, RegionOps, Storage, BAR_64};
use crate::instance::Instance;
use crate::layout::aligned_words;
use crate::qemu::Qemu;

/// A region. QEMU keeps pointers into it as long as the object lives.
pub(crate) struct Region<D: Device> {
    instance: Weak<Instance<D>>,
    bar: u8,
    ops: RegionOps<Self>,
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
            ops: aligned_words(read::<D>, write::<D>, qemu.layout.little_endian),
            storage: Storage::new(),
        });
        let (ops, opaque) = ((&raw const region.ops).cast(), Rc::as_ptr(&region).cast());
        let (owner, memory) = (Some(device.as_ref()), region.storage.as_ptr());
        let (init, name) = (qemu.symbols.memory_region_init_io, Some(bar.name.into()));
        // SAFETY: all that is passed lives as long as the device; the size of the structure was checked,
        // and it calls functions that take a region of this type.
        unsafe {
            init(memory, owner, ops, opaque, name, bar.size);
            (qemu.symbols.pci_register_bar)(device, bar.number.into(), BAR_64, memory);
        }
        region
    }
}

extern "C" fn read<D: Device>(region: &Region<D>, at: u64, size: u32) -> u64 {
    let instance = region.instance.upgrade();
    let value = instance.and_then(|instance| {
        instance.enter(|device, host| device.read(region.bar, at, size, host))
    });
    value.unwrap_or(u64::MAX)
}

extern "C" fn write<D: Device>(region: &Region<D>, at: u64, value: u64, size: u32) {
    if let Some(instance) = region.instance.upgrade() {
        instance.enter(|device, host| device.write(region.bar, at, size, value, host));
    }
}
