// SPDX-License-Identifier: GPL-2.0

//! What a remapping unit can do: its capability and extended capability registers (VT-d spec,
//! 11.4.2 and 11.4.3; Linux: `cap_*` and `ecap_*` in drivers/iommu/intel/iommu.h).

use crate::bits::Field;
use crate::invalidate::Drain;
use crate::width::AddressWidth;

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub const fn $name(self) -> bool {
                const BIT: Field = Field::bit($bit);
                BIT.is_set(self.0)
            }
        )*
    };
}

/// Bytes per fault recording register, and the unit of the FRO and IRO fields.
const RECORD_BYTES: usize = 16;

/// Capability register (VT-d spec, 11.4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Capability(u64);

impl Capability {
    const ND: Field = Field::new(2, 0);
    const SAGAW: Field = Field::new(12, 8);
    const MGAW: Field = Field::new(21, 16);
    const FRO: Field = Field::new(33, 24);
    const NFR: Field = Field::new(47, 40);
    const MAMV: Field = Field::new(53, 48);

    /// Wraps what the register reads as.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// What the register reads as.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    flags! {
        /// RWBF: software must flush the chipset's write buffers after it has changed a table.
        required_write_buffer_flush = 4;
        /// PLMR: there is a protected low memory region.
        protected_low_memory = 5;
        /// PHMR: there is a protected high memory region.
        protected_high_memory = 6;
        /// CM: the unit may cache entries that are not present, so they need invalidation when they
        /// become present. Emulated units say so, to see each mapping.
        caching_mode = 7;
        /// ZLR: zero-length reads from write-only pages are allowed.
        zero_length_read = 22;
        /// SSLPS bit 0: 2 MiB pages in second-stage tables.
        second_stage_2m = 34;
        /// SSLPS bit 1: 1 GiB pages in second-stage tables.
        second_stage_1g = 35;
        /// PSI: page-selective invalidation of second-stage mappings.
        page_selective = 39;
        /// DWD: an IOTLB invalidation can wait for writes under way.
        drain_writes = 54;
        /// DRD: an IOTLB invalidation can wait for reads under way.
        drain_reads = 55;
        /// FS1GP: 1 GiB pages in first-stage tables. 2 MiB pages are always there.
        first_stage_1g = 56;
        /// PI: posted interrupts.
        posted_interrupts = 59;
        /// FS5LP: 5-level first-stage tables.
        first_stage_5_level = 60;
        /// ESIRTPS: setting the interrupt remapping table pointer invalidates all that was cached.
        enhanced_set_interrupt_root = 62;
        /// ESRTPS: setting the root table pointer invalidates all that was cached.
        enhanced_set_root = 63;
    }

    /// ND: how many domain ids there are, 16 to 65536; they count from 0.
    #[inline]
    pub const fn domain_ids(self) -> u32 {
        // ND = 7 is reserved and would make seventeen bits and more; sixteen is all a domain id
        // has.
        let bits = 4 + 2 * Self::ND.get(self.0) as u32;
        1 << if bits > 16 { 16 } else { bits }
    }

    /// SAGAW: whether second-stage tables may have this width.
    #[inline]
    pub const fn supports(self, width: AddressWidth) -> bool {
        (Self::SAGAW.get(self.0) >> width.encoding()) & 1 != 0
    }

    /// The widest second-stage table that the unit walks; `None` when it walks none.
    pub fn widest(self) -> Option<AddressWidth> {
        AddressWidth::ALL
            .into_iter()
            .rev()
            .find(|w| self.supports(*w))
    }

    /// MGAW: number of address bits that DMA requests may have.
    #[inline]
    pub const fn max_guest_address_bits(self) -> u8 {
        Self::MGAW.get(self.0) as u8 + 1
    }

    /// MAMV: largest address mask of a page-selective invalidation, as log2 of a number of 4 KiB
    /// pages. `None` when the unit has no page-selective invalidation (PSI clear).
    #[inline]
    pub const fn max_address_mask(self) -> Option<u8> {
        if self.page_selective() {
            Some(Self::MAMV.get(self.0) as u8)
        } else {
            None
        }
    }

    /// DRD and DWD: the requests under way that an IOTLB invalidation can wait for.
    #[inline]
    pub const fn drain(self) -> Drain {
        let mut bits = 0;
        if self.drain_reads() {
            bits |= Drain::READS.bits();
        }
        if self.drain_writes() {
            bits |= Drain::WRITES.bits();
        }
        Drain::from_bits_truncate(bits)
    }

    /// NFR: number of fault recording registers, 1 to 256.
    #[inline]
    pub const fn fault_records(self) -> usize {
        Self::NFR.get(self.0) as usize + 1
    }

    /// FRO: offset in bytes of fault recording register `index` from the register base; `None` when
    /// there is no such register.
    #[inline]
    pub const fn fault_record_offset(self, index: usize) -> Option<usize> {
        if index < self.fault_records() {
            Some((Self::FRO.get(self.0) as usize + index) * RECORD_BYTES)
        } else {
            None
        }
    }
}

/// Extended capability register (VT-d spec, 11.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct ExtendedCapability(u64);

impl ExtendedCapability {
    const IRO: Field = Field::new(17, 8);
    const MHMV: Field = Field::new(23, 20);
    const PSS: Field = Field::new(39, 35);

    /// Wraps what the register reads as.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// What the register reads as.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    flags! {
        /// C: the unit reads its root, context and PASID structures through the processor's caches.
        /// When clear, software flushes what it has written.
        coherent = 0;
        /// QI: queued invalidation.
        queued_invalidation = 1;
        /// DT: device-TLBs, that is, ATS.
        device_tlb = 2;
        /// IR: interrupt remapping.
        interrupt_remapping = 3;
        /// EIM: 32-bit APIC ids in interrupt remapping.
        extended_interrupt_mode = 4;
        /// PT: pass-through translation.
        pass_through = 6;
        /// SC: snoop control in second-stage entries.
        snoop_control = 7;
        /// NEST: first-stage on top of second-stage translation.
        nested = 26;
        /// PRS: page requests.
        page_requests = 29;
        /// ERS: requests may ask for execute permission.
        execute_requests = 30;
        /// SRS: requests may ask for supervisor privilege.
        supervisor_requests = 31;
        /// NWFS: translation requests may say that no write will follow.
        no_write_flag = 33;
        /// EAFS: the extended accessed flag in first-stage entries.
        extended_accessed_flag = 34;
        /// PASID: requests may carry a PASID.
        pasid = 40;
        /// DIT: the unit limits outstanding device-TLB invalidations itself.
        device_tlb_throttle = 41;
        /// PDS: a wait descriptor can drain page requests.
        page_request_drain = 42;
        /// SMTS: scalable-mode translation.
        scalable_mode = 43;
        /// VCS: the virtual command interface of emulated units.
        virtual_commands = 44;
        /// SSADS: accessed and dirty flags in second-stage entries.
        second_stage_accessed_dirty = 45;
        /// SSTS: second-stage translation in scalable mode.
        second_stage = 46;
        /// FSTS: first-stage translation in scalable mode.
        first_stage = 47;
        /// SMPWCS: the unit can read page tables through the processor's caches in scalable mode,
        /// where the PASID table entry asks for it (PWSNP).
        page_walk_coherent = 48;
        /// RPS: RID_PASID may be other than 0.
        rid_pasid = 49;
        /// ADMS: the abort-DMA translation table mode.
        abort_dma_mode = 52;
        /// RPRIVS: RID_PRIV in context entries.
        rid_priv = 53;
    }

    /// IRO: offset in bytes of the IVA register from the register base; the IOTLB register follows
    /// it.
    #[inline]
    pub const fn iotlb_offset(self) -> usize {
        Self::IRO.get(self.0) as usize * RECORD_BYTES
    }

    /// MHMV: largest index mask of an interrupt entry cache invalidation, as log2 of a number of
    /// entries.
    #[inline]
    pub const fn max_handle_mask(self) -> u8 {
        Self::MHMV.get(self.0) as u8
    }

    /// PSS: number of PASID bits that requests may carry, at most 20; 0 when they carry none.
    #[inline]
    pub const fn pasid_bits(self) -> u8 {
        if !self.pasid() {
            return 0;
        }
        let bits = Self::PSS.get(self.0) as u8 + 1;
        if bits > 20 {
            20
        } else {
            bits
        }
    }
}

/// Bytes of register space, from the base, that hold all registers of a unit with these
/// capabilities. What firmware reports may be less (Linux: `map_iommu` in
/// drivers/iommu/intel/dmar.c maps again for that reason).
pub const fn register_span(cap: Capability, ecap: ExtendedCapability) -> usize {
    const FIXED: usize = 0x100;
    let faults = (Capability::FRO.get(cap.0) as usize + cap.fault_records()) * RECORD_BYTES;
    let iotlb = ecap.iotlb_offset() + RECORD_BYTES;
    let most = if faults > iotlb { faults } else { iotlb };
    if most > FIXED {
        most
    } else {
        FIXED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // QEMU's intel-iommu as the guests see it: 16-bit domain ids, 48 bits, MAMV 18, one fault
    // recording register at 0x220, IOTLB registers at 0xf0, 20 PASID bits.
    const QEMU_CAP: Capability = Capability::from_raw(0x01d2_008c_222f_0606);
    const QEMU_ECAP: ExtendedCapability = ExtendedCapability::from_raw(0x0000_4998_80f0_0f42);

    #[test]
    fn fields_of_an_emulated_unit() {
        assert_eq!(QEMU_CAP.domain_ids(), 65536);
        assert_eq!(QEMU_CAP.widest(), Some(AddressWidth::Bits48));
        assert!(QEMU_CAP.supports(AddressWidth::Bits39));
        assert!(!QEMU_CAP.supports(AddressWidth::Bits57));
        assert_eq!(QEMU_CAP.max_guest_address_bits(), 48);
        assert_eq!(QEMU_CAP.max_address_mask(), Some(18));
        assert_eq!(QEMU_CAP.fault_records(), 1);
        assert_eq!(QEMU_CAP.fault_record_offset(0), Some(0x220));
        assert_eq!(QEMU_CAP.fault_record_offset(1), None);
        assert!(QEMU_CAP.second_stage_2m() && QEMU_CAP.second_stage_1g());
        assert_eq!(QEMU_CAP.drain(), Drain::READS | Drain::WRITES);
        assert_eq!(Capability::from_raw(1 << 54).drain(), Drain::WRITES);
        assert!(QEMU_CAP.first_stage_1g() && !QEMU_CAP.first_stage_5_level());
        assert!(!QEMU_CAP.caching_mode() && !QEMU_CAP.required_write_buffer_flush());

        assert_eq!(QEMU_ECAP.iotlb_offset(), 0xf0);
        assert_eq!(QEMU_ECAP.pasid_bits(), 20);
        assert_eq!(QEMU_ECAP.max_handle_mask(), 15);
        assert!(QEMU_ECAP.scalable_mode() && QEMU_ECAP.second_stage());
        assert!(!QEMU_ECAP.first_stage() && !QEMU_ECAP.coherent());
        assert!(QEMU_ECAP.queued_invalidation() && QEMU_ECAP.pass_through());
        assert_eq!(register_span(QEMU_CAP, QEMU_ECAP), 0x230);
    }

    #[test]
    fn fields_of_a_server() {
        // A unit of a Xeon E5 v4, as kernel logs print it: no scalable mode yet.
        let cap = Capability::from_raw(0x08d2_078c_106f_0466);
        let ecap = ExtendedCapability::from_raw(0x0000_0000_00f0_20df);
        assert_eq!(cap.domain_ids(), 65536);
        assert_eq!(cap.widest(), Some(AddressWidth::Bits48));
        assert_eq!(cap.max_guest_address_bits(), 48);
        assert_eq!(cap.max_address_mask(), Some(18));
        assert_eq!(cap.fault_records(), 8);
        assert_eq!(cap.fault_record_offset(7), Some(0x170));
        assert!(cap.protected_low_memory() && cap.protected_high_memory());
        assert!(cap.posted_interrupts());
        assert!(ecap.coherent() && ecap.device_tlb() && ecap.snoop_control());
        assert_eq!(ecap.iotlb_offset(), 0x200);
        assert_eq!(ecap.pasid_bits(), 0);
        assert_eq!(register_span(cap, ecap), 0x210);
    }

    #[test]
    fn extremes_stay_in_range() {
        let all = Capability::from_raw(u64::MAX);
        assert_eq!(all.domain_ids(), 65536);
        assert_eq!(all.widest(), Some(AddressWidth::Bits57));
        assert_eq!(all.fault_record_offset(255), Some((0x3ff + 255) * 16));
        assert_eq!(all.max_address_mask(), Some(63));
        assert_eq!(ExtendedCapability::from_raw(u64::MAX).pasid_bits(), 20);
        // PASID, PSS 20: one bit more than PCI Express has.
        let ecap = ExtendedCapability::from_raw(0x0000_01a0_0000_0000);
        assert_eq!(ecap.pasid_bits(), 20);

        let none = Capability::from_raw(0);
        assert_eq!(none.domain_ids(), 16);
        assert_eq!(none.widest(), None);
        assert_eq!(none.max_address_mask(), None);
        assert_eq!(register_span(none, ExtendedCapability::from_raw(0)), 0x100);
    }
}
