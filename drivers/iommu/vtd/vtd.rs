// SPDX-License-Identifier: GPL-2.0

//! A driver for Intel VT-d remapping units in scalable mode, for machines where the kernel's own
//! driver is switched off (`intel_iommu=off intremap=off`).
//!
//! How to read it, from the outside in:
//!
//! - [`firmware`] finds the units in the DMAR table, and [`unit`] brings one up;
//! - [`driver`] is what the IOMMU core calls, and [`device`] what becomes of one PCI function: its
//!   requests find a context entry ([`root`]), which points to its PASID table ([`pasid_table`]),
//!   whose entries point to the page tables of an address [`space`], which a [`domain`] hands to
//!   the core; [`devices`] lists the functions of a unit;
//! - [`queue`] invalidates what the hardware has cached;
//! - [`fault_event`] is the interrupt for blocked requests, [`faults`] reads their records, and
//!   [`fault_report`] reports them;
//! - [`acs`] is about requests that do not reach a unit, [`release`] gives devices back, and
//!   [`debugfs`] shows it all.
//!
//! Locks, outermost first: the IOMMU core's (probe, group); mutexes: `Space::entries`, then
//! `Device::attached`, `PasidTable::leaves`, `Unit::domain_ids`; spinlocks, with interrupts off:
//! `Space::tags`, then `DeviceList::list`, `RootTable::contexts`, `Queue::ring`; `Faults::reading`
//! alone.

#![deny(unsafe_code)]

use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::iommu::driver::Core;
use linux::pci::{self, DeviceExt};
use linux::{param, syscore, Show};

mod acs;
mod debugfs;
mod device;
mod devices;
mod domain;
mod driver;
mod error;
mod fault_event;
mod fault_report;
mod faults;
mod firmware;
mod pasid_table;
mod queue;
mod registers;
mod release;
mod root;
mod space;
mod stage;
#[allow(unsafe_code)]
mod sys;
mod unit;

use crate::driver::Vtd;
use crate::error::Failure;
use crate::fault_event::FaultInterrupt;
use crate::firmware::Firmware;
use crate::release::Registrations;
use crate::stage::StageChoice;
use crate::sys::{UnitDescription, UnitRegistration};
use crate::unit::{Unit, UnitRef};

module! {
    type: Module,
    name: "vtd",
    authors: ["siov-rs developers"],
    description: "Intel VT-d in scalable mode",
    license: "GPL",
    params: {
        stage: u8 {
            default: 0,
            description: "Translation stage of paging domains: 0 chooses, 1 first, 2 second",
        },
        debug: u8 {
            default: 0,
            description: "1 adds a file to debugfs that feeds descriptors to the invalidation queue",
        },
    },
}

/// The loaded driver. Fields are dropped in this order: devices are given back before the hardware
/// is switched off.
struct Module {
    _files: debugfs::Files,
    _registrations: Arc<Registrations>,
    _power: syscore::Registration<Power>,
    _units: Arc<Started>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let stage = param::value::<u8>(module_parameters::stage.value());
        let stage = StageChoice::from_param(stage)
            .ok_or(EINVAL)
            .inspect_err(|_| {
                pr_err!("stage={stage}: must be 0, 1 or 2\n");
            })?;
        let firmware = Arc::new(Firmware::new()?, GFP_KERNEL)?;

        let units = take_over(&firmware, stage)?;

        let started = Arc::new(Started::new(&units)?, GFP_KERNEL)?;
        let power = syscore::Registration::new(Power(started.clone()))?;

        let ports = QuietPorts::new()?;
        let core = Core::new(Vtd { firmware, units }, module)?;
        let mut registrations = KVec::new();
        for unit in &core.driver().units {
            registrations.push(UnitRegistration::new(unit, &core)?, GFP_KERNEL)?;
            unit.set_settled();
            unit.announce();
        }
        drop(ports);

        let registrations = Registrations::new(registrations)?;
        let files = debugfs::Files::new(
            &core.driver().units,
            &registrations,
            param::value::<u8>(module_parameters::debug.value()) != 0,
        )?;

        Ok(Self {
            _files: files,
            _registrations: registrations,
            _power: power,
            _units: started,
        })
    }
}

/// Takes over all units that this driver can drive.
///
/// A unit that lacks what is needed is left alone, switched off. That is safe: what is behind it
/// has no IOMMU group, so VFIO does not hand it out, and its DMA goes where its drivers direct it,
/// as before. What is behind the other units is not affected. Other failures are those of the
/// machine.
///
/// # Errors
///
/// Those of the first unit that fails; `ENODEV` if there is none, or none that can be driven.
fn take_over(firmware: &Arc<Firmware>, stage: StageChoice) -> Result<KVec<UnitRef>> {
    let mut units = KVec::new();
    let mut lacking = KVec::new();
    for description in firmware.units()? {
        let index = description.index();
        let name = CString::try_from_fmt(fmt!("dmar{index}"))?;
        match Unit::take_over(firmware.clone(), description, name, stage) {
            Ok(unit) => units.push(unit, GFP_KERNEL)?,
            Err(failure @ Failure::Lacks(_)) => {
                lacking.push((description, failure), GFP_KERNEL)?;
            }
            Err(failure) => return Err(refuse(&description, failure)),
        }
    }
    if units.is_empty() {
        if lacking.is_empty() {
            pr_err!("the DMAR table lists no remapping unit\n");
        }
        for (description, failure) in lacking {
            refuse(&description, failure);
        }
        return Err(ENODEV);
    }
    for (description, failure) in lacking {
        pr_warn!(
            "dmar{} at {} left alone, DMA of {} functions is not translated: {}\n",
            description.index(),
            Show(description.base()),
            firmware.functions_of(description.index()),
            failure
        );
    }
    Ok(units)
}

/// Logs why a unit cannot be driven.
fn refuse(description: &UnitDescription, failure: Failure) -> Error {
    pr_err!(
        "dmar{} at {}: {}\n",
        description.index(),
        Show(description.base()),
        failure
    );
    failure.into()
}

/// PCIe ports temporarily unbound from their driver; they are bound again when this is dropped.
///
/// The port driver is built into the kernel and bound before any module can be loaded; the IOMMU
/// core warns of every device that it finds bound when it first sees an IOMMU. Ports with a working
/// device below are left alone, and warned of.
struct QuietPorts(KVec<ARef<pci::Device>>);

impl QuietPorts {
    const DRIVER: &'static CStr = c"pcieport";

    fn new() -> Result<Self> {
        let mut ports = Self(KVec::new());
        for port in pci::devices() {
            let at_work = |d: ARef<pci::Device>| {
                d.is_bound() && !d.is_bound_to(Self::DRIVER) && d.is_below(&port)
            };
            if port.is_bound_to(Self::DRIVER) && !pci::devices().any(at_work) {
                ports.0.push(port, GFP_KERNEL)?;
            }
        }
        for port in &ports.0 {
            port.unbind();
        }
        Ok(ports)
    }
}

impl Drop for QuietPorts {
    fn drop(&mut self) {
        for port in &self.0 {
            if let Err(e) = port.rebind() {
                dev_warn!(port.as_dev(), "port driver not bound again: {:?}\n", e);
            }
        }
    }
}

/// Units that translate, and report faults. Dropping this switches them off.
struct Started(KVec<StartedUnit>);

struct StartedUnit {
    // Dropped before the unit is switched off.
    interrupt: Option<FaultInterrupt>,
    enabled: Enabled,
}

impl StartedUnit {
    /// Switches the unit on again.
    fn resume(&self) {
        match (self.enabled.0.enable(), &self.interrupt) {
            (Ok(()), Some(interrupt)) => interrupt.restore(),
            (Ok(()), None) => {}
            (Err(failure), _) => {
                pr_emerg!("{}: resume failed: {}\n", self.enabled.0.name(), failure);
            }
        }
        acs::restore(&self.enabled.0);
    }
}

/// A unit that is switched on, perhaps in part. Dropping this switches it off.
struct Enabled(UnitRef);

impl Started {
    fn new(units: &[UnitRef]) -> Result<Self> {
        let mut started = Self(KVec::with_capacity(units.len(), GFP_KERNEL)?);
        for unit in units {
            let enabled = Enabled(unit.clone());
            unit.start().map_err(|failure| {
                pr_err!("{}: {}\n", unit.name(), failure);
                Error::from(failure)
            })?;
            let unit = StartedUnit {
                interrupt: None,
                enabled,
            };
            started.0.push(unit, GFP_KERNEL)?;
        }
        for unit in started.0.iter_mut() {
            unit.interrupt = Some(FaultInterrupt::new(&unit.enabled.0)?);
        }
        Ok(started)
    }

    fn units(&self) -> impl Iterator<Item = &UnitRef> {
        self.0.iter().map(|unit| &unit.enabled.0)
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        if self.0.stays_on() {
            // It goes on using its tables.
            core::mem::forget(self.0.clone());
        }
        if let Err(failure) = self.0.disable() {
            pr_emerg!("{}: disabling failed: {}\n", self.0.name(), failure);
        }
    }
}

/// Sleep and the end of the system.
struct Power(Arc<Started>);

impl syscore::SystemCore for Power {
    fn suspend(&self) -> Result {
        for (index, unit) in self.0.units().enumerate() {
            if let Err(failure) = unit.disable() {
                pr_err!("{}: suspend failed: {}\n", unit.name(), failure);
                // The system stays awake, and calls `resume` only of those that did suspend.
                self.0
                     .0
                    .iter()
                    .take(index + 1)
                    .for_each(StartedUnit::resume);
                return Err(failure.into());
            }
        }
        Ok(())
    }

    fn resume(&self) {
        self.0 .0.iter().for_each(StartedUnit::resume);
    }

    fn shutdown(&self) {
        // What comes next, firmware or another kernel, expects that addresses are not translated.
        // The queue stays on: other processors and timers may still be using it.
        for unit in self.0.units() {
            if let Err(failure) = unit.stop_translating() {
                pr_emerg!("{}: shutdown failed: {}\n", unit.name(), failure);
            }
        }
    }
}
