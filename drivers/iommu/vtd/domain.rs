// SPDX-License-Identifier: GPL-2.0

//! Paging domains: what shape of address space suits a unit, and what the IOMMU core does with it.

use crate::device::Device;
use crate::driver::Vtd;
use crate::space::{errno, Space, Stage, Tables};
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::{self, Gather, Geometry, Gfp, IommuPages, PagingDomain};
use siov_iopgtable::{Config, LeafSize, Levels, Prot};
use siov_types::{Iova, IovaRange, PhysAddr};
use siov_vtd::invalidate::PagingStructures;
use siov_vtd::AddressWidth;

/// A paging domain: an address space in the hands of the IOMMU core.
pub(crate) struct Domain {
    space: Arc<Space>,
}

impl Domain {
    /// A domain that suits the unit of `device`.
    pub(crate) fn new(device: &Device, stage: Stage) -> Result<Pin<KBox<iommu::Domain<Self>>>> {
        let unit: &Unit = device.unit();
        let (cap, ecap) = (unit.cap(), unit.ecap());
        let (levels, max_leaf, address_bits) = match stage {
            Stage::Second => {
                let width = cap.widest().ok_or(ENODEV)?;
                let levels = match width {
                    AddressWidth::Bits39 => Levels::Three,
                    AddressWidth::Bits48 => Levels::Four,
                    AddressWidth::Bits57 => Levels::Five,
                };
                let leaf = match (cap.second_stage_1g(), cap.second_stage_2m()) {
                    (true, _) => LeafSize::Size1G,
                    (false, true) => LeafSize::Size2M,
                    (false, false) => LeafSize::Size4K,
                };
                (levels, leaf, width.bits())
            }
            Stage::First => {
                let levels = if cap.first_stage_5_level() {
                    Levels::Five
                } else {
                    Levels::Four
                };
                let leaf = if cap.first_stage_1g() {
                    LeafSize::Size1G
                } else {
                    LeafSize::Size2M
                };
                // The upper half of the addresses is sign-extended; it is left alone.
                (levels, leaf, levels.address_bits() - 1)
            }
        };
        let config = Config {
            levels,
            max_leaf,
            input_bits: address_bits.min(cap.max_guest_address_bits()),
            output_bits: unit.host_address_bits(),
        };
        let last = (1u64 << config.input_bits) - 1;
        let geometry = Geometry {
            aperture: IovaRange::new(Iova::new(0), Iova::new(last)).ok_or(EINVAL)?,
            page_sizes: [LeafSize::Size4K, LeafSize::Size2M, LeafSize::Size1G]
                .into_iter()
                .filter(|size| *size <= max_leaf)
                .fold(0, |sizes, size| sizes | size.bytes()),
        };
        // First-stage entries that are not present are never cached (VT-d spec, 6.1).
        let sync_map =
            cap.required_write_buffer_flush() || (stage == Stage::Second && cap.caching_mode());
        let memory = IommuPages::new(device.node(), ecap.page_walk_coherent());
        let space = Space::new(stage, config, memory, sync_map)?;
        iommu::Domain::new(Self { space }, geometry, device.node())
    }

    /// Its address space.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}

impl PagingDomain for Domain {
    type Driver = Vtd;

    #[inline]
    fn map(
        &self,
        iova: Iova,
        phys: PhysAddr,
        len: u64,
        mut prot: Prot,
        gfp: Gfp,
        gather: &mut Gather,
    ) -> (u64, Result) {
        if self.space.is_snooped() {
            prot |= Prot::SNOOP;
        }
        let (bytes, result) = match self.space.tables() {
            Tables::First(t) => t.map(iova, phys, len, prot, gfp, gather),
            Tables::Second(t) => t.map(iova, phys, len, prot, gfp, gather),
        };
        if gather.has_tables() {
            if let Some(range) = IovaRange::from_len(iova, len) {
                gather.add(range);
            }
        }
        (bytes, result.map_err(errno))
    }

    #[inline]
    fn unmap(&self, iova: Iova, len: u64, gather: &mut Gather) -> u64 {
        let unmapped = match self.space.tables() {
            Tables::First(t) => t.unmap(iova, len, Gfp::ATOMIC, gather),
            Tables::Second(t) => t.unmap(iova, len, Gfp::ATOMIC, gather),
        };
        if let Some(touched) = unmapped.touched {
            if !gather.is_queued() {
                gather.add(touched);
            }
        }
        unmapped.bytes
    }

    fn iova_to_phys(&self, iova: Iova) -> Option<PhysAddr> {
        match self.space.tables() {
            Tables::First(t) => t.iova_to_phys(iova),
            Tables::Second(t) => t.iova_to_phys(iova),
        }
    }

    #[inline]
    fn sync(&self, gather: &Gather) {
        let structures = if gather.has_tables() {
            PagingStructures::Changed
        } else {
            PagingStructures::Kept
        };
        if let Some(range) = gather.range() {
            self.space.invalidate(Some(range), structures);
        } else if structures == PagingStructures::Changed {
            self.space.invalidate(None, structures);
        }
    }

    fn sync_all(&self) {
        self.space.invalidate(None, PagingStructures::Changed);
    }

    fn needs_sync_map(&self) -> bool {
        self.space.needs_sync_map()
    }

    fn sync_map(&self, range: IovaRange) {
        self.space.sync_map(range);
    }

    fn enforce_cache_coherency(&self) -> bool {
        self.space.enforce_cache_coherency()
    }
}
