// SPDX-License-Identifier: GPL-2.0

//! Requests of a device: with its requester id, with or without a PASID.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use siov_types::{Iova, Pasid, PhysAddr};

use crate::ffi::{AddressSpace, PciDevice, ATTRS_UNSPECIFIED, NO_PASID};
use crate::layout::{Refusal, TranslationSpace};
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;
use crate::unit::Unit;

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaError {
    /// The IOMMU refused it, or nothing that answers lies at the address.
    Blocked,
    /// Bus mastering is off, or the device has been unplugged.
    BusMasterOff,
    /// PASID is off in configuration space, or there is no PASID capability.
    PasidOff,
    /// This machine has no IOMMU that takes PASIDs, or this QEMU does not let us reach it.
    PasidUnsupported,
}

/// The address spaces of one function.
pub(crate) struct Spaces {
    qemu: &'static Qemu,
    device: Rc<ObjectRef<PciDevice>>,
    /// The emulated VT-d unit and where its structures keep an address space.
    unit: OnceCell<Option<(Unit, TranslationSpace)>>,
    refused: Cell<bool>,
}

/// What a write without PASID turns into interrupts.
const INTERRUPT_RANGE: std::ops::Range<u64> = 0xfee0_0000..0xfef0_0000;

enum Direction<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

impl Spaces {
    pub(crate) fn new(qemu: &'static Qemu, device: Rc<ObjectRef<PciDevice>>) -> Self {
        Self {
            qemu,
            device,
            unit: OnceCell::new(),
            refused: Cell::new(false),
        }
    }

    pub(crate) fn read(
        &self,
        pasid: Option<Pasid>,
        from: Iova,
        into: &mut [u8],
    ) -> Result<(), DmaError> {
        let space = self.space(pasid, from, into.len())?;
        self.access(space, from.raw(), Direction::Read(into))
    }

    pub(crate) fn write(
        &self,
        pasid: Option<Pasid>,
        to: Iova,
        data: &[u8],
    ) -> Result<(), DmaError> {
        let space = self.space(pasid, to, data.len())?;
        self.access(space, to.raw(), Direction::Write(data))
    }

    pub(crate) fn read_translated(&self, from: PhysAddr, into: &mut [u8]) -> Result<(), DmaError> {
        let memory = self.qemu.symbols.address_space_memory;
        self.access(memory, from.raw(), Direction::Read(into))
    }

    pub(crate) fn write_translated(&self, to: PhysAddr, data: &[u8]) -> Result<(), DmaError> {
        let memory = self.qemu.symbols.address_space_memory;
        self.access(memory, to.raw(), Direction::Write(data))
    }

    fn access(
        &self,
        space: &AddressSpace,
        address: u64,
        direction: Direction<'_>,
    ) -> Result<(), DmaError> {
        let (buffer, length, write) = match direction {
            Direction::Read(into) => (into.as_mut_ptr(), into.len(), false),
            Direction::Write(data) => (data.as_ptr().cast_mut(), data.len(), true),
        };
        // SAFETY: whoever has the device has the big lock; the buffer is as long as that, and QEMU
        // only reads that of a write.
        let result = unsafe {
            (self.qemu.symbols.address_space_rw)(
                space.as_ptr(),
                address,
                ATTRS_UNSPECIFIED,
                buffer.cast(),
                length as u64,
                write,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(DmaError::Blocked)
        }
    }

    fn space(
        &self,
        pasid: Option<Pasid>,
        address: Iova,
        length: usize,
    ) -> Result<&AddressSpace, DmaError> {
        let Some(pasid) = pasid else {
            return Ok(self.qemu.symbols.address_space(&self.device));
        };
        if touches_interrupt_range(address, length) {
            // A request with a PASID is never an interrupt. QEMU's VT-d unit does not expect one
            // here: as of 11.1 it ends QEMU with an assertion.
            return Err(DmaError::Blocked);
        }
        self.tagged_space(pasid).ok_or(DmaError::PasidUnsupported)
    }

    /// The address space of requests with a PASID. QEMU makes one for each PASID that is used and
    /// keeps it.
    fn tagged_space(&self, pasid: Pasid) -> Option<&AddressSpace> {
        let (unit, layout) = self.unit.get_or_init(|| self.find_unit()).as_ref()?;
        let (found, asked) = unit.translation(&self.device, pasid.raw())?;
        let outer = std::ptr::from_ref(found);
        match layout.inside(asked, *found, outer as usize) {
            // SAFETY: the layout has found an address space there, and the structure is never
            // freed.
            Ok(space) => Some(unsafe { &*(space as *const AddressSpace) }),
            Err(refusal) => {
                self.refuse(&refusal);
                None
            }
        }
    }

    fn find_unit(&self) -> Option<(Unit, TranslationSpace)> {
        let unit = Unit::find(self.qemu, &self.device)?;
        let (found, asked) = unit.translation(&self.device, NO_PASID)?;
        let inner = self.qemu.symbols.address_space(&self.device);
        let (outer, inner) = (std::ptr::from_ref(found), std::ptr::from_ref(inner));
        match TranslationSpace::derive(asked, *found, outer as usize, inner as usize) {
            Ok(layout) => Some((unit, layout)),
            Err(refusal) => {
                self.refuse(&refusal);
                None
            }
        }
    }

    /// Once per device: a guest can ask for DMA again and again.
    fn refuse(&self, refusal: &Refusal) {
        if !self.refused.replace(true) {
            self.qemu.warn(&format!("no DMA with a PASID: {refusal}"));
        }
    }
}

/// Whether any of these bytes lies in the range of interrupts (VT-d spec, 3.14).
pub(crate) fn touches_interrupt_range(address: Iova, length: usize) -> bool {
    let last = address
        .raw()
        .saturating_add(length as u64)
        .saturating_sub(1);
    last >= INTERRUPT_RANGE.start && address.raw() < INTERRUPT_RANGE.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interrupt_range_is_met_at_its_edges_only() {
        let touches = |address, length| touches_interrupt_range(Iova::new(address), length);
        assert!(!touches(0xfedf_ffff, 1) && touches(0xfedf_ffff, 2));
        assert!(touches(0xfee0_0000, 1) && touches(0xfeef_ffff, 1));
        assert!(!touches(0xfef0_0000, 4096) && touches(0, usize::MAX));
        assert!(!touches(u64::MAX, 1) && !touches(0x1_fee0_0000, 8));
    }
}
