// SPDX-License-Identifier: GPL-2.0

//! Paging domains: what shape of address space suits a unit, and what the IOMMU core asks of one.

use crate::driver::Vtd;
use crate::space::Space;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::driver::{self, Gather, PagingDomain, Stage, TableMemory};
use linux::numa;
use siov_iopgtable::{Config, LeafSize, Levels, Prot};
use siov_types::IovaRange;
use siov_vtd::invalidate::PagingStructures;
use siov_vtd::AddressWidth;

/// A paging domain: an address space in the hands of the IOMMU core.
pub(crate) struct Domain {
    space: Arc<Space>,
}

impl Domain {
    /// A domain that suits `unit`, with tables near NUMA node `node`.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the unit walks no tables of the stage, `ENOMEM`.
    pub(crate) fn new(
        unit: &Unit,
        stage: Stage,
        node: numa::Node,
    ) -> Result<Pin<KBox<driver::Domain<Self>>>> {
        let (cap, ecap) = (unit.cap(), unit.ecap());
        let config = config(unit, stage)?;
        // First-stage entries that are not present are never cached (VT-d spec, 6.1).
        let sync_map =
            cap.required_write_buffer_flush() || (stage == Stage::Second && cap.caching_mode());
        let memory = TableMemory {
            node,
            coherent: ecap.page_walk_coherent(),
        };
        driver::Domain::new(stage, config, memory, |tables| {
            let space = Space::new(tables.clone(), sync_map)?;
            Ok(Self { space })
        })
    }

    /// Its address space.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}

/// The largest tables of `stage` that the unit walks.
fn config(unit: &Unit, stage: Stage) -> Result<Config> {
    let cap = unit.cap();
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
            // The upper half of the addresses is sign-extended, and not used.
            (levels, leaf, levels.address_bits() - 1)
        }
    };
    Ok(Config {
        levels,
        max_leaf,
        input_bits: address_bits.min(cap.max_guest_address_bits()),
        output_bits: unit.host_address_bits(),
    })
}

impl PagingDomain for Domain {
    type Driver = Vtd;

    #[inline(always)]
    fn leaf_attributes(&self) -> Prot {
        if self.space.is_snooped() {
            Prot::SNOOP
        } else {
            Prot::empty()
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
