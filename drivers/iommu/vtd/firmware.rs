// SPDX-License-Identifier: GPL-2.0

//! What firmware says about remapping units: the DMAR table, matched against the PCI hierarchy.

use crate::sys::UnitDescription;
use kernel::prelude::*;
use linux::acpi;
use linux::pci::{self, DeviceExt, PathToRoot};
use linux::Show;
use siov_types::{Bdf, Segment};
use siov_vtd::dmar::{self, Ats, BusRange, CheckedDmar, Dmar, ReservedMemory, RootPort};

/// The DMAR table, found to be well-formed.
pub(crate) struct Firmware {
    table: CheckedDmar<acpi::Table>,
}

impl Firmware {
    /// Reads and checks the table, and logs what is wrong with it.
    pub(crate) fn new() -> Result<Self> {
        let table = acpi::Table::get(b"DMAR").inspect_err(|_| {
            pr_err!(
                "no DMAR table: this machine has no VT-d, or it is switched off in its firmware setup\n"
            );
        })?;
        let table = CheckedDmar::new(table).map_err(|e| {
            pr_err!(
                "the firmware's DMAR table is malformed, not loading: {}\n",
                Show(e)
            );
            EINVAL
        })?;
        for structure in table.dmar().structures() {
            if let dmar::Structure::Unknown { kind, offset } = structure {
                pr_info!("DMAR: structure of unknown type {kind} at offset {offset:#x} skipped\n");
            }
        }
        Ok(Self { table })
    }

    fn dmar(&self) -> Dmar<'_> {
        self.table.dmar()
    }

    /// Every unit.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn units(&self) -> Result<KVec<UnitDescription>> {
        UnitDescription::all(&self.table)
    }

    /// Index of the unit that translates the requests of `pdev`.
    pub(crate) fn unit_of(&self, pdev: &pci::Device) -> Option<usize> {
        let dmar = self.dmar();
        let unit = dmar.unit_for(pdev.segment()?, listed(pdev), &Hierarchy)?;
        dmar.units().position(|u| u.offset == unit.offset)
    }

    /// Calls `f` for each range of memory that must stay mapped one to one for `pdev`.
    pub(crate) fn for_each_reserved(
        &self,
        pdev: &pci::Device,
        mut f: impl FnMut(ReservedMemory<'_>),
    ) {
        if let Some(segment) = pdev.segment() {
            self.dmar()
                .reserved_memory_of(segment, listed(pdev), &Hierarchy)
                .for_each(&mut f);
        }
    }

    /// Whether `pdev` may use ATS.
    pub(crate) fn ats_allowed(&self, pdev: &pci::Device) -> bool {
        pdev.segment().is_some_and(|segment| {
            self.dmar().ats(segment, listed(pdev), &Hierarchy) != Ats::Denied
        })
    }

    /// Physical address bits of the machine that DMA can reach.
    pub(crate) fn host_address_bits(&self) -> u8 {
        // What a table entry holds.
        const MOST: u8 = 52;
        self.dmar().host_address_width().min(MOST)
    }
}

/// Under which id firmware knows `pdev`: virtual functions do not exist at boot.
fn listed(pdev: &pci::Device) -> Bdf {
    pdev.physical_function()
}

/// The hierarchy that the kernel has found.
struct Hierarchy;

impl dmar::PciTopology for Hierarchy {
    fn buses_below(&self, segment: Segment, bdf: Bdf) -> Option<BusRange> {
        let buses = pci::buses_below(segment, bdf)?;
        Some(BusRange {
            first: *buses.start(),
            last: *buses.end(),
        })
    }

    fn root_port(&self, segment: Segment, bdf: Bdf) -> RootPort {
        match pci::find(segment, bdf).map(|pdev| pdev.path_to_root()) {
            Some(PathToRoot::Integrated) => RootPort::Integrated,
            Some(PathToRoot::Port(port)) => RootPort::Port(port),
            Some(PathToRoot::Conventional) | None => RootPort::Conventional,
        }
    }
}
