// SPDX-License-Identifier: GPL-2.0

//! What firmware says about remapping units: the DMAR table, matched against the PCI hierarchy.

use crate::sys::UnitDescription;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::firmware::{self, has_memory, MemoryKind};
use linux::pci::{self, DeviceExt, PathToRoot};
use linux::{acpi, Show};
use siov_types::{Bdf, PhysAddr, Segment};
use siov_vtd::dmar::{
    self, Ats, BusRange, CheckedDmar, Dmar, DmarFlags, FunctionKind, MemoryUse, NamespaceDevice,
    RemappingUnit, ReservedMemory, RootPort,
};

/// The DMAR table, found to be of use.
pub(crate) struct Firmware {
    table: CheckedDmar<acpi::Table>,
}

impl Firmware {
    /// Reads and checks the table, and logs what is wrong with it.
    ///
    /// # Errors
    ///
    /// `ENODEV` without a table, or if firmware does not want requests to be translated; `EINVAL`
    /// for a table of no use; `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let table = acpi::Table::get(b"DMAR").inspect_err(|_| {
            pr_err!(
                "no DMAR table: this machine has no VT-d, or it is switched off in its firmware setup\n"
            );
        })?;
        let malformed = |e: dmar::Error| {
            pr_err!(
                "the firmware's DMAR table is malformed, not loading: {}; {}\n",
                Show(e),
                Show(firmware::Identity)
            );
            EINVAL
        };
        let table = CheckedDmar::new(table).map_err(malformed)?;
        let dmar = table.dmar();
        dmar.check_scopes(&Hierarchy).map_err(malformed)?;
        if dmar.flags().contains(DmarFlags::REMAP_OPT_OUT) {
            pr_err!("the firmware wants no DMA translation (REMAP_OPT_OUT), not loading\n");
            return Err(ENODEV);
        }
        for structure in dmar.structures() {
            if let dmar::Structure::Unknown { kind, offset } = structure {
                pr_info!("DMAR: structure of unknown type {kind} at offset {offset:#x} skipped\n");
            }
        }
        dmar.for_each_remark(&Hierarchy, &MemoryMap, |remark| {
            pr_warn!(
                "[Firmware Bug]: DMAR: {}; {}\n",
                Show(remark),
                Show(firmware::Identity)
            );
            firmware::taint();
        });
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

    /// The unit with this index.
    fn unit(&self, index: usize) -> Option<RemappingUnit<'_>> {
        self.dmar().units().nth(index)
    }

    /// Calls `f` for each device of the ACPI namespace behind a unit, with its requester id.
    ///
    /// # Errors
    ///
    /// The first of `f`.
    pub(crate) fn for_each_namespace_device(
        &self,
        unit: usize,
        mut f: impl FnMut(Bdf, NamespaceDevice<'_>) -> Result,
    ) -> Result {
        let Some(unit) = self.unit(unit) else {
            return Ok(());
        };
        for (bdf, device) in self.dmar().namespace_devices_of(unit) {
            f(bdf, device)?;
        }
        Ok(())
    }

    /// The function that has a requester id behind a unit, if there is one.
    pub(crate) fn function_at(&self, unit: usize, bdf: Bdf) -> Option<ARef<pci::Device>> {
        pci::find(self.unit(unit)?.segment, bdf)
    }

    /// Number of functions behind a unit.
    pub(crate) fn functions_of(&self, unit: usize) -> usize {
        let is_behind = |pdev: &ARef<pci::Device>| self.unit_of(pdev) == Some(unit);
        pci::devices().filter(is_behind).count()
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
    fn kind_of(&self, segment: Segment, bdf: Bdf) -> Option<FunctionKind> {
        const CLASS_BRIDGE: u32 = 0x06;
        let pdev = pci::find(segment, bdf)?;
        Some(if pdev.is_bridge() {
            FunctionKind::Bridge
        } else if pdev.class() >> 16 == CLASS_BRIDGE {
            FunctionKind::NonTransparentBridge
        } else {
            FunctionKind::Endpoint
        })
    }

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

/// The machine's memory map.
struct MemoryMap;

impl dmar::MemoryMap for MemoryMap {
    fn use_of(&self, first: PhysAddr, last: PhysAddr) -> MemoryUse {
        let range = first..=last;
        if has_memory(&range, MemoryKind::Usable) {
            MemoryUse::Usable
        } else if has_memory(&range, MemoryKind::Reserved) || has_memory(&range, MemoryKind::Nvs) {
            MemoryUse::Reserved
        } else {
            MemoryUse::Unlisted
        }
    }
}
