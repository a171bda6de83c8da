// SPDX-License-Identifier: GPL-2.0

//! The driver as the IOMMU core sees it: who is translated by which unit, and what becomes of its
//! requests.

use crate::device::Device;
use crate::domain::Domain;
use crate::firmware::Firmware;
use crate::space::Stage;
use crate::unit::{Unit, UnitRef};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::error::eopnotsupp;
use linux::iommu::{
    self, Attribute, Capability, DefaultDomain, Old, Probed, ReservedKind, ReservedRegions, Slot,
};
use linux::pci;
use siov_iopgtable::Prot;
use siov_types::{Iova, Pasid};
use siov_vtd::regs::Reg32;

/// Writes of devices to these addresses are interrupt messages and never translated (VT-d spec,
/// 3.15).
const MSI_WINDOW: (Iova, u64) = (Iova::new(0xfee0_0000), 0x10_0000);

/// PCI base class of display controllers, and base class with subclass of USB controllers.
const CLASS_DISPLAY: u32 = 0x03;
const CLASS_USB: u32 = 0x0c03;

static SLOT: Slot<Vtd> = Slot::new();

/// Which stage paging domains use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StageChoice {
    /// First stage where the unit has it, as the C driver does.
    Auto,
    /// This one only.
    Only(Stage),
}

/// All units of the machine.
pub(crate) struct Vtd {
    pub(crate) firmware: Arc<Firmware>,
    pub(crate) units: KVec<UnitRef>,
    pub(crate) stage: StageChoice,
}

impl iommu::Driver for Vtd {
    type Unit = Unit;
    type Device = Device;
    type Paging = Domain;

    // The name and the files of the C driver, for programs that look for them.
    const ATTRIBUTE_GROUP: &'static CStr = c"intel-iommu";
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute {
            name: c"version",
            show: |unit, f| {
                let version = unit.regs().read32(Reg32::Ver);
                writeln!(f, "{}:{}", version >> 4 & 0xf, version & 0xf)
            },
        },
        Attribute {
            name: c"address",
            show: |unit, f| writeln!(f, "{:x}", unit.regs().phys()),
        },
        Attribute {
            name: c"cap",
            show: |unit, f| writeln!(f, "{:x}", unit.cap().raw()),
        },
        Attribute {
            name: c"ecap",
            show: |unit, f| writeln!(f, "{:x}", unit.ecap().raw()),
        },
        Attribute {
            name: c"domains_supported",
            show: |unit, f| writeln!(f, "{}", unit.cap().domain_ids()),
        },
        Attribute {
            name: c"domains_used",
            show: |unit, f| writeln!(f, "{}", unit.domains()),
        },
    ];

    fn slot() -> &'static Slot<Self> {
        &SLOT
    }

    fn probe(&self, pdev: &pci::Device) -> Result<Probed<Self>> {
        let index = self.firmware.unit_of(pdev).ok_or(ENODEV)?;
        let unit = self.units.get(index).ok_or(ENODEV)?;
        if !unit.is_open() {
            return Err(ENODEV);
        }
        // Groups are made of what cannot reach each other past the unit.
        pdev.enable_acs();
        let device = Device::new(unit.clone(), self.stage, pdev)?;
        if let Err(e) = unit.add_device(&device) {
            device.release();
            return Err(e);
        }
        Ok((unit.clone(), device))
    }

    fn release(_pdev: &pci::Device, device: &Arc<Device>) {
        device.release();
        device.unit().remove_device(device);
    }

    fn capable(device: &Device, capability: Capability) -> bool {
        let unit: &Unit = device.unit();
        match capability {
            Capability::CacheCoherency => true,
            Capability::PreBootProtection => unit.firmware().opted_in(),
            Capability::EnforceCacheCoherency => unit.ecap().snoop_control(),
            Capability::DeferredFlush => true,
            Capability::AtsSupported => device.tlb().is_some(),
            Capability::NoExec | Capability::DirtyTracking => false,
        }
    }

    fn reserved_regions(pdev: &pci::Device, device: &Device, list: &mut ReservedRegions<'_>) {
        let class = pdev.class();
        // USB and display controllers have such memory for the sake of boot firmware only.
        let relaxable = class >> 16 == CLASS_DISPLAY || class >> 8 == CLASS_USB;
        let kind = if relaxable {
            ReservedKind::DirectRelaxable
        } else {
            ReservedKind::Direct
        };
        let report = |result: Result| {
            if let Err(e) = result {
                dev_err!(pdev.as_dev(), "reserved region not listed: {:?}\n", e);
            }
        };
        device.unit().firmware().for_each_reserved(pdev, |memory| {
            let start = Iova::new(memory.base.raw());
            let len = memory.limit.raw() - memory.base.raw() + 1;
            report(list.push(start, len, Prot::READ | Prot::WRITE, kind));
        });
        let (start, len) = MSI_WINDOW;
        report(list.push(start, len, Prot::empty(), ReservedKind::Msi));
    }

    fn default_domain(pdev: &pci::Device, device: &Device) -> DefaultDomain {
        // A driver that is at work when we are loaded has handed out physical addresses.
        if pdev.is_bound() && !device.unit().is_settled() {
            DefaultDomain::Identity
        } else {
            DefaultDomain::Any
        }
    }

    fn alloc_paging(device: &Device, flags: u32) -> Result<Pin<KBox<iommu::Domain<Domain>>>> {
        if flags != 0 {
            return Err(eopnotsupp());
        }
        Domain::new(device, device.stage()?)
    }

    fn attach_identity(device: &Arc<Device>, pasid: Pasid, old: Old<'_, Self>) -> Result {
        device.attach_identity(pasid, old)
    }

    fn attach_blocked(device: &Arc<Device>, pasid: Pasid, old: Old<'_, Self>) {
        device.attach_blocked(pasid, old);
    }

    fn attach_paging(
        domain: &Domain,
        device: &Arc<Device>,
        pasid: Pasid,
        old: Old<'_, Self>,
    ) -> Result {
        device.attach_paging(domain, pasid, old)
    }
}
