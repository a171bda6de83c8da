// SPDX-License-Identifier: GPL-2.0

//! Descriptors of the invalidation queue, 256 bits each as scalable mode has them (VT-d spec,
//! 6.5.2; Linux: `QI_*` in drivers/iommu/intel/iommu.h).

use bitflags::bitflags;
use siov_types::{Bdf, DomainId, Pasid, PhysAddr};

use super::scope::{Pages, Scope};
use crate::bits::{Field, PAGE_ADDRESS};

/// What a descriptor asks for. The discriminant is its type field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Forget context entries.
    ContextCache = 1,
    /// Forget second-stage and nested translations.
    Iotlb = 2,
    /// Have a device forget translations of requests without PASID.
    DeviceTlb = 3,
    /// Forget interrupt remapping entries.
    InterruptEntryCache = 4,
    /// Tell software that the queue has come here.
    Wait = 5,
    /// Forget first-stage, pass-through and nested translations of a PASID.
    PasidIotlb = 6,
    /// Forget PASID table entries.
    PasidCache = 7,
    /// Have a device forget translations of requests with a PASID.
    PasidDeviceTlb = 8,
}

impl Kind {
    const fn from_encoding(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::ContextCache),
            2 => Some(Self::Iotlb),
            3 => Some(Self::DeviceTlb),
            4 => Some(Self::InterruptEntryCache),
            5 => Some(Self::Wait),
            6 => Some(Self::PasidIotlb),
            7 => Some(Self::PasidCache),
            8 => Some(Self::PasidDeviceTlb),
            _ => None,
        }
    }
}

bitflags! {
    /// Which requests under way an IOTLB invalidation waits for. Only what
    /// [`Capability::drain`](crate::Capability::drain) returns has an effect.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Drain: u64 {
        /// DW: writes that were translated with what is being forgotten.
        const WRITES = 1 << 6;
        /// DR: reads that were translated with what is being forgotten.
        const READS = 1 << 7;
    }
}

bitflags! {
    /// What a wait descriptor does besides its status write.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WaitFlags: u64 {
        /// IF: raise the invalidation event interrupt.
        const INTERRUPT = 1 << 4;
        /// FN: start no later descriptor before this one is complete.
        const FENCE = 1 << 6;
        /// PD: have all page requests of before this reached the page request queue. Needs
        /// [`page_request_drain`](crate::ExtendedCapability::page_request_drain).
        const PAGE_REQUEST_DRAIN = 1 << 7;
    }
}

/// IH, the invalidation hint: what became of the page-table pages above the leaf entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PagingStructures {
    /// They may have changed or been freed: what the unit has cached of them goes as well.
    Changed = 0,
    /// Only leaf entries have changed.
    Kept = 1,
}

/// A device whose TLB (ATC, in PCIe's words) is to be invalidated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceTlb {
    /// The function.
    pub source: Bdf,
    /// Its physical function, or the function itself where it is no virtual one: the unit counts
    /// outstanding invalidations per physical function.
    pub physical_function: Bdf,
    /// How many invalidations the device takes at a time, from its ATS capability: 1 to 32.
    pub queue_depth: u8,
}

/// A descriptor, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Descriptor([u64; 4]);

impl Descriptor {
    /// Words per descriptor.
    pub const WORDS: usize = 4;

    // The type is split; its upper part is zero for every type there is.
    const TYPE: Field = Field::new(3, 0);
    const TYPE_HIGH: Field = Field::new(11, 9);
    pub(super) const G: Field = Field::new(5, 4);
    pub(super) const DID: Field = Field::new(31, 16);
    pub(super) const PASID: Field = Field::new(51, 32);

    // Context cache.
    pub(super) const CC_SID: Field = Field::new(47, 32);

    // IOTLB and PASID-based IOTLB, word 1.
    pub(super) const AM: Field = Field::new(5, 0);
    pub(super) const IH: Field = Field::bit(6);

    // Interrupt entry cache.
    pub(super) const IEC_G: Field = Field::bit(4);
    pub(super) const IEC_IM: Field = Field::new(31, 27);
    pub(super) const IEC_IIDX: Field = Field::new(47, 32);

    // Wait.
    pub(super) const SW: Field = Field::bit(5);
    pub(super) const STATUS_DATA: Field = Field::new(63, 32);

    // Device-TLB, with and without PASID: the physical function's id is split.
    const PFSID_LOW: Field = Field::new(15, 12);
    const PFSID_HIGH: Field = Field::new(63, 52);
    const MIP: Field = Field::new(20, 16);
    pub(super) const DEV_SID: Field = Field::new(47, 32);
    pub(super) const DEV_S: Field = Field::bit(0);
    const PASID_MIP: Field = Field::new(8, 4);
    pub(super) const PASID_DEV_SID: Field = Field::new(31, 16);
    pub(super) const PASID_DEV_S: Field = Field::bit(11);

    pub(super) const GLOBAL: u64 = 1;
    pub(super) const DOMAIN: u64 = 2;
    /// By device for the context cache, by page for the IOTLBs.
    pub(super) const SELECTIVE: u64 = 3;
    pub(super) const ALL_IN_PASID: u64 = 2;
    pub(super) const PC_DOMAIN: u64 = 0;
    pub(super) const PC_PASID: u64 = 1;
    pub(super) const PC_GLOBAL: u64 = 3;

    #[inline]
    const fn build(kind: Kind, low: u64, high: u64) -> Self {
        Self([kind as u64 | low, high, 0, 0])
    }

    #[inline]
    const fn did(did: DomainId) -> u64 {
        Self::DID.put(did.raw() as u64)
    }

    #[inline]
    const fn pasid(pasid: Pasid) -> u64 {
        Self::PASID.put(pasid.raw() as u64)
    }

    /// Forget all context entries (6.5.2.1).
    pub const fn context_cache_global() -> Self {
        Self::build(Kind::ContextCache, Self::G.put(Self::GLOBAL), 0)
    }

    /// Forget the context entry of one function (6.5.2.1). Scalable mode has no domain id in a
    /// context entry and ignores the one in the descriptor.
    pub const fn context_cache_device(source: Bdf) -> Self {
        let low = Self::G.put(Self::SELECTIVE) | Self::CC_SID.put(source.raw() as u64);
        Self::build(Kind::ContextCache, low, 0)
    }

    /// Forget all context entries, if the unit tagged them with this domain id (6.5.2.1). Scalable
    /// mode carries it out as a global one.
    pub const fn context_cache_domain(did: DomainId) -> Self {
        let low = Self::G.put(Self::DOMAIN) | Self::did(did);
        Self::build(Kind::ContextCache, low, 0)
    }

    /// Forget all PASID table entries (6.5.2.2).
    pub const fn pasid_cache_global() -> Self {
        Self::build(Kind::PasidCache, Self::G.put(Self::PC_GLOBAL), 0)
    }

    /// Forget the PASID table entries with this domain id (6.5.2.2).
    pub const fn pasid_cache_domain(did: DomainId) -> Self {
        let low = Self::G.put(Self::PC_DOMAIN) | Self::did(did);
        Self::build(Kind::PasidCache, low, 0)
    }

    /// Forget the PASID table entries with this domain id and PASID (6.5.2.2).
    pub const fn pasid_cache_pasid(did: DomainId, pasid: Pasid) -> Self {
        let low = Self::G.put(Self::PC_PASID) | Self::did(did) | Self::pasid(pasid);
        Self::build(Kind::PasidCache, low, 0)
    }

    /// Forget all translations of every stage (6.5.2.3).
    pub const fn iotlb_global(drain: Drain) -> Self {
        Self::build(Kind::Iotlb, Self::G.put(Self::GLOBAL) | drain.bits(), 0)
    }

    /// Forget the second-stage and nested translations of a domain (6.5.2.3).
    #[inline]
    pub const fn iotlb_domain(did: DomainId, drain: Drain) -> Self {
        let low = Self::G.put(Self::DOMAIN) | Self::did(did) | drain.bits();
        Self::build(Kind::Iotlb, low, 0)
    }

    /// Forget second-stage translations of some pages of a domain (6.5.2.3).
    #[inline]
    pub const fn iotlb_pages(
        did: DomainId,
        pages: Pages,
        structures: PagingStructures,
        drain: Drain,
    ) -> Self {
        let low = Self::G.put(Self::SELECTIVE) | Self::did(did) | drain.bits();
        Self::build(Kind::Iotlb, low, Self::pages(pages, structures))
    }

    /// Forget second-stage translations in `scope` (6.5.2.3).
    #[inline]
    pub const fn iotlb(
        did: DomainId,
        scope: Scope,
        structures: PagingStructures,
        drain: Drain,
    ) -> Self {
        match scope {
            Scope::Domain => Self::iotlb_domain(did, drain),
            Scope::Pages(pages) => Self::iotlb_pages(did, pages, structures, drain),
        }
    }

    /// Forget the first-stage and pass-through translations of a PASID (6.5.2.4).
    #[inline]
    pub const fn pasid_iotlb_all(did: DomainId, pasid: Pasid) -> Self {
        let low = Self::G.put(Self::ALL_IN_PASID) | Self::did(did) | Self::pasid(pasid);
        Self::build(Kind::PasidIotlb, low, 0)
    }

    /// Forget first-stage translations of some pages of a PASID (6.5.2.4).
    #[inline]
    pub const fn pasid_iotlb_pages(
        did: DomainId,
        pasid: Pasid,
        pages: Pages,
        structures: PagingStructures,
    ) -> Self {
        let low = Self::G.put(Self::SELECTIVE) | Self::did(did) | Self::pasid(pasid);
        Self::build(Kind::PasidIotlb, low, Self::pages(pages, structures))
    }

    /// Forget first-stage translations in `scope`, where [`Scope::Domain`] is the whole PASID
    /// (6.5.2.4).
    #[inline]
    pub const fn pasid_iotlb(
        did: DomainId,
        pasid: Pasid,
        scope: Scope,
        structures: PagingStructures,
    ) -> Self {
        match scope {
            Scope::Domain => Self::pasid_iotlb_all(did, pasid),
            Scope::Pages(pages) => Self::pasid_iotlb_pages(did, pasid, pages, structures),
        }
    }

    #[inline]
    const fn pages(pages: Pages, structures: PagingStructures) -> u64 {
        PAGE_ADDRESS.keep(pages.addr.raw())
            | Self::AM.put(pages.mask as u64)
            | Self::IH.put(structures as u64)
    }

    /// Have a device forget translations of requests without PASID in `scope`, where
    /// [`Scope::Domain`] is all of them (6.5.2.5).
    #[inline]
    pub const fn device_tlb(device: DeviceTlb, scope: Scope) -> Self {
        let (addr, size) = Self::ats_range(scope);
        let low = Self::pfsid(device)
            | Self::MIP.put(device.queue_depth as u64)
            | Self::DEV_SID.put(device.source.raw() as u64);
        Self::build(Kind::DeviceTlb, low, addr | Self::DEV_S.put(size))
    }

    /// Have a device forget translations of requests with `pasid` in `scope`, where
    /// [`Scope::Domain`] is all of them (6.5.2.6).
    #[inline]
    pub const fn pasid_device_tlb(device: DeviceTlb, pasid: Pasid, scope: Scope) -> Self {
        let (addr, size) = Self::ats_range(scope);
        let low = Self::pfsid(device)
            | Self::PASID_MIP.put(device.queue_depth as u64)
            | Self::PASID_DEV_SID.put(device.source.raw() as u64)
            | Self::pasid(pasid);
        let high = addr | Self::PASID_DEV_S.put(size);
        Self::build(Kind::PasidDeviceTlb, low, high)
    }

    /// The function whose TLB a descriptor with this low word invalidates; `None` for all that are
    /// no device-TLB invalidations.
    pub const fn device_of(low: u64) -> Option<Bdf> {
        let field = match Kind::from_encoding(Self::TYPE.get(low)) {
            Some(Kind::DeviceTlb) => Self::DEV_SID,
            Some(Kind::PasidDeviceTlb) => Self::PASID_DEV_SID,
            _ => return None,
        };
        Some(Bdf::from_raw(field.get(low) as u16))
    }

    /// The device-TLB invalidation with this low word, of all that the device has cached of the
    /// PASID, or for requests without one.
    pub const fn device_tlb_all(low: u64) -> Self {
        let (addr, size) = Self::ats_range(Scope::Domain);
        let s = match Kind::from_encoding(Self::TYPE.get(low)) {
            Some(Kind::PasidDeviceTlb) => Self::PASID_DEV_S,
            _ => Self::DEV_S,
        };
        Self([low, addr | s.put(size), 0, 0])
    }

    #[inline]
    const fn pfsid(device: DeviceTlb) -> u64 {
        let pf = device.physical_function.raw() as u64;
        Self::PFSID_LOW.put(pf) | Self::PFSID_HIGH.put(pf >> 4)
    }

    /// Address and S bit as an ATS invalidation carries them (PCIe spec, 10.3.2): with S set, the
    /// lowest clear bit from bit 12 up tells the size, two pages for bit 12.
    #[inline]
    const fn ats_range(scope: Scope) -> (u64, u64) {
        let Pages { addr, mask } = match scope {
            Scope::Pages(pages) => pages,
            Scope::Domain => Pages::ALL,
        };
        if mask == 0 {
            return (PAGE_ADDRESS.keep(addr.raw()), 0);
        }
        // The size bit itself, clear, and all below it, set.
        let size_bit = 11 + if mask < 52 { mask } else { 52 };
        let below = (1 << size_bit) - 1;
        let addr = addr.raw() & !(1 << size_bit) | below;
        (PAGE_ADDRESS.keep(addr), 1)
    }

    /// Forget all interrupt remapping entries (6.5.2.7).
    pub const fn interrupt_entry_cache_global() -> Self {
        Self::build(Kind::InterruptEntryCache, 0, 0)
    }

    /// Forget 2^`mask` interrupt remapping entries from `index` on (6.5.2.7). `mask` is at most
    /// [`max_handle_mask`](crate::ExtendedCapability::max_handle_mask).
    pub const fn interrupt_entry_cache(index: u16, mask: u8) -> Self {
        let low =
            Self::IEC_G.put(1) | Self::IEC_IM.put(mask as u64) | Self::IEC_IIDX.put(index as u64);
        Self::build(Kind::InterruptEntryCache, low, 0)
    }

    /// Once all before it is complete, write `data` to `status`, which is aligned to 4 bytes
    /// (6.5.2.8).
    #[inline]
    pub const fn wait_status(status: PhysAddr, data: u32, flags: WaitFlags) -> Self {
        let low = Self::SW.put(1) | Self::STATUS_DATA.put(data as u64) | flags.bits();
        Self::build(Kind::Wait, low, status.raw() & !0b11)
    }

    /// A wait that writes nothing: a fence, or an interrupt (6.5.2.8).
    pub const fn wait(flags: WaitFlags) -> Self {
        Self::build(Kind::Wait, flags.bits(), 0)
    }

    /// Wraps the words of a queue slot.
    #[inline]
    pub const fn from_raw(raw: [u64; 4]) -> Self {
        Self(raw)
    }

    /// The words as they stand in the queue.
    #[inline]
    pub const fn raw(self) -> [u64; 4] {
        self.0
    }

    /// What the descriptor asks for; `None` for a type that this crate does not build.
    #[inline]
    pub const fn kind(self) -> Option<Kind> {
        let [low, ..] = self.0;
        Kind::from_encoding(Self::TYPE.get(low) | (Self::TYPE_HIGH.get(low) << 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use siov_types::Iova;

    const DID: DomainId = DomainId::new(0xabcd);
    const PASID: Pasid = Pasid::new(0x5_4321).unwrap();
    const SOURCE: Bdf = Bdf::new(0x3a, 0x1d);
    const BOTH: Drain = Drain::all();

    fn pages(addr: u64, mask: u8) -> Pages {
        let addr = Iova::new(addr);
        Pages { addr, mask }
    }

    fn words(d: Descriptor) -> (u64, u64) {
        let [low, high, a, b] = d.raw();
        // The upper half is reserved in all of them.
        assert_eq!((a, b), (0, 0));
        (low, high)
    }

    #[test]
    fn context_cache() {
        let d = Descriptor::context_cache_global();
        assert_eq!(words(d), (0x11, 0));
        let d = Descriptor::context_cache_domain(DID);
        assert_eq!(words(d), (0xabcd_0021, 0));
        let d = Descriptor::context_cache_device(SOURCE);
        assert_eq!(words(d), (0x3a1d_0000_0031, 0));
    }

    #[test]
    fn pasid_cache() {
        let d = Descriptor::pasid_cache_global();
        assert_eq!(words(d), (0x37, 0));
        let d = Descriptor::pasid_cache_domain(DID);
        assert_eq!(words(d), (0xabcd_0007, 0));
        let d = Descriptor::pasid_cache_pasid(DID, PASID);
        assert_eq!(words(d), (0x5_4321_abcd_0017, 0));
    }

    #[test]
    fn iotlb() {
        let d = Descriptor::iotlb_global(BOTH);
        assert_eq!(words(d), (0xd2, 0));
        let d = Descriptor::iotlb_domain(DID, Drain::READS);
        assert_eq!(words(d), (0xabcd_00a2, 0));
        let p = pages(0x12_3450_0000, 8);
        let d = Descriptor::iotlb_pages(DID, p, PagingStructures::Kept, Drain::WRITES);
        assert_eq!(words(d), (0xabcd_0072, 0x12_3450_0048));
        let d = Descriptor::iotlb_pages(DID, p, PagingStructures::Changed, Drain::empty());
        assert_eq!(words(d), (0xabcd_0032, 0x12_3450_0008));
        let kept = PagingStructures::Kept;
        assert_eq!(
            Descriptor::iotlb(DID, Scope::Pages(p), kept, BOTH),
            Descriptor::iotlb_pages(DID, p, kept, BOTH)
        );
        assert_eq!(
            Descriptor::iotlb(DID, Scope::Domain, kept, BOTH),
            Descriptor::iotlb_domain(DID, BOTH)
        );
    }

    #[test]
    fn pasid_iotlb() {
        let d = Descriptor::pasid_iotlb_all(DID, PASID);
        assert_eq!(words(d), (0x5_4321_abcd_0026, 0));
        let p = pages(0xffff_ffff_ffe0_0000, 9);
        let d = Descriptor::pasid_iotlb_pages(DID, PASID, p, PagingStructures::Kept);
        assert_eq!(words(d), (0x5_4321_abcd_0036, 0xffff_ffff_ffe0_0049));
        let changed = PagingStructures::Changed;
        assert_eq!(
            Descriptor::pasid_iotlb(DID, PASID, Scope::Pages(p), changed),
            Descriptor::pasid_iotlb_pages(DID, PASID, p, changed)
        );
        assert_eq!(
            Descriptor::pasid_iotlb(DID, PASID, Scope::Domain, changed),
            Descriptor::pasid_iotlb_all(DID, PASID)
        );
    }

    const DEVICE: DeviceTlb = DeviceTlb {
        source: SOURCE,
        physical_function: Bdf::new(0x12, 0x34),
        queue_depth: 0x15,
    };

    #[test]
    fn device_tlb() {
        // PFSID 0x1234: 0x123 in bits 63:52, 4 in bits 15:12.
        let low = 0x1230_3a1d_0015_4003;
        let one = Scope::Pages(pages(0xdead_b000, 0));
        assert_eq!(
            words(Descriptor::device_tlb(DEVICE, one)),
            (low, 0xdead_b000)
        );
        // 2 MiB: bits 19:12 set, bit 20 clear.
        let two_mib = Scope::Pages(pages(0x4020_0000, 9));
        assert_eq!(
            words(Descriptor::device_tlb(DEVICE, two_mib)),
            (low, 0x402f_f001)
        );
        // The same for an address in the upper half of the block.
        let upper = Scope::Pages(pages(0x403e_d000, 9));
        assert_eq!(
            words(Descriptor::device_tlb(DEVICE, upper)),
            (low, 0x402f_f001)
        );
        assert_eq!(
            words(Descriptor::device_tlb(DEVICE, Scope::Domain)),
            (low, 0x7fff_ffff_ffff_f001)
        );
        // A depth of 32 is encoded as 0.
        let deep = DeviceTlb {
            queue_depth: 32,
            ..DEVICE
        };
        assert_eq!(
            words(Descriptor::device_tlb(deep, one)).0,
            0x1230_3a1d_0000_4003
        );
    }

    #[test]
    fn pasid_device_tlb() {
        let low = 0x1235_4321_3a1d_4158;
        let one = Scope::Pages(pages(0xdead_b000, 0));
        assert_eq!(
            words(Descriptor::pasid_device_tlb(DEVICE, PASID, one)),
            (low, 0xdead_b000)
        );
        let two_pages = Scope::Pages(pages(0x4020_0000, 1));
        assert_eq!(
            words(Descriptor::pasid_device_tlb(DEVICE, PASID, two_pages)),
            (low, 0x4020_0800)
        );
        assert_eq!(
            words(Descriptor::pasid_device_tlb(DEVICE, PASID, Scope::Domain)),
            (low, 0x7fff_ffff_ffff_f800)
        );
    }

    #[test]
    fn interrupt_entries() {
        let d = Descriptor::interrupt_entry_cache_global();
        assert_eq!(words(d), (0x4, 0));
        let d = Descriptor::interrupt_entry_cache(0x1234, 5);
        assert_eq!(words(d), (0x1234_2800_0014, 0));
    }

    #[test]
    fn waits() {
        let d = Descriptor::wait_status(
            PhysAddr::new(0x1_0000_0047),
            0xdead_beef,
            WaitFlags::empty(),
        );
        assert_eq!(words(d), (0xdead_beef_0000_0025, 0x1_0000_0044));
        let d = Descriptor::wait(WaitFlags::FENCE | WaitFlags::INTERRUPT);
        assert_eq!(words(d), (0x55, 0));
        let d = Descriptor::wait(WaitFlags::PAGE_REQUEST_DRAIN);
        assert_eq!(words(d), (0x85, 0));
    }

    #[test]
    fn kinds() {
        for (d, kind) in [
            (Descriptor::context_cache_device(SOURCE), Kind::ContextCache),
            (Descriptor::iotlb_global(BOTH), Kind::Iotlb),
            (
                Descriptor::device_tlb(DEVICE, Scope::Domain),
                Kind::DeviceTlb,
            ),
            (
                Descriptor::interrupt_entry_cache(1, 1),
                Kind::InterruptEntryCache,
            ),
            (Descriptor::wait(WaitFlags::all()), Kind::Wait),
            (Descriptor::pasid_iotlb_all(DID, PASID), Kind::PasidIotlb),
            (Descriptor::pasid_cache_pasid(DID, PASID), Kind::PasidCache),
            (
                Descriptor::pasid_device_tlb(DEVICE, PASID, Scope::Domain),
                Kind::PasidDeviceTlb,
            ),
        ] {
            assert_eq!(d.kind(), Some(kind));
        }
        for raw in [0, 9, 10, 15, 0x201, 0xe05] {
            assert_eq!(Descriptor::from_raw([raw, 0, 0, 0]).kind(), None);
        }
    }

    /// What a device makes of an ATS invalidation: PCIe spec, 10.3.2, read from the other side.
    fn ats_decode(high: u64, size: bool) -> (u64, u64) {
        let addr = high & !0xfff;
        if !size {
            return (addr, addr | 0xfff);
        }
        let bytes = 2u128 << (addr | 0xfff).trailing_ones();
        let first = u128::from(addr) & !(bytes - 1);
        (first as u64, (first + bytes - 1) as u64)
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(1024))]
        #[test]
        fn devices_understand_every_block(addr: u64, mask in 0u8..=52) {
            let addr = if mask < 52 { addr >> (12 + mask) << (12 + mask) } else { 0 };
            let pages = pages(addr, mask);
            let expect = (pages.range().first().raw(), pages.range().last().raw());
            let (low, high) = words(Descriptor::device_tlb(DEVICE, Scope::Pages(pages)));
            prop_assert_eq!(ats_decode(high, high & 1 != 0), expect);
            // Reserved, and type.
            prop_assert_eq!((low & 0x000f_0000_ffe0_0fff, high & 0xffe), (3, 0));
            let (low, high) = words(Descriptor::pasid_device_tlb(DEVICE, PASID, Scope::Pages(pages)));
            prop_assert_eq!(ats_decode(high, high & 0x800 != 0), expect);
            prop_assert_eq!((low & 0xe0f, high & 0x7ff), (8, 0));
        }

        // The masks are QEMU's, which refuses a descriptor with a reserved bit set.
        #[test]
        fn reserved_bits_stay_clear(
            did: u16, pasid in 0u32..1 << 20, addr: u64, mask in 0u8..64, drain in 0u64..4, kept: bool,
        ) {
            let did = DomainId::new(did);
            let pasid = Pasid::new(pasid).unwrap();
            let pages = pages(addr, mask);
            let structures = if kept { PagingStructures::Kept } else { PagingStructures::Changed };
            let drain = Drain::from_bits_truncate(drain << 6);
            let (low, high) = words(Descriptor::iotlb_pages(did, pages, structures, drain));
            prop_assert_eq!((low & 0xffff_ffff_0000_f100, high & 0xf80), (0, 0));
            let (low, high) = words(Descriptor::pasid_iotlb_pages(did, pasid, pages, structures));
            prop_assert_eq!((low & 0xfff0_0000_0000_f1c0, high & 0xf80), (0, 0));
            let (low, high) = words(Descriptor::pasid_cache_pasid(did, pasid));
            prop_assert_eq!((low & 0xfff0_0000_0000_f1c0, high), (0, 0));
        }
    }
}
