// SPDX-License-Identifier: GPL-2.0

//! The driver as the IOMMU core sees it: which unit translates a device, and what becomes of its
//! requests.

use crate::acs;
use crate::device::Device;
use crate::domain::Domain;
use crate::firmware::Firmware;
use crate::unit::{Unit, UnitRef};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::error::eopnotsupp;
use linux::iommu::driver::{
    self, Attribute, Capability, DefaultDomain, Function, OldDomain, Probed, ReservedKind,
    ReservedRegions,
};
use linux::pci::DeviceExt;
use siov_iopgtable::Prot;
use siov_types::{Iova, Pasid};
use siov_vtd::regs::Reg32;

/// Writes of devices to these addresses are interrupt messages and never translated (VT-d spec,
/// 3.15).
const MSI_WINDOW: (Iova, u64) = (Iova::new(0xfee0_0000), 0x10_0000);

/// PCI base class of display controllers, and base class with subclass of USB controllers.
const CLASS_DISPLAY: u32 = 0x03;
const CLASS_USB: u32 = 0x0c03;

/// All units of the machine that translate.
pub(crate) struct Vtd {
    pub(crate) firmware: Arc<Firmware>,
    pub(crate) units: KVec<UnitRef>,
}

impl driver::Driver for Vtd {
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

    fn probe(&self, pdev: &Function<'_>) -> Result<Probed<Self>> {
        let requester = pdev.real_dma_device().unwrap_or(pdev);
        let index = self.firmware.unit_of(requester).ok_or(ENODEV)?;
        // Not of those that were left alone.
        let unit = self.units.iter().find(|unit| unit.index() == index);
        let unit = unit.ok_or(ENODEV)?;
        if !unit.is_registered() {
            return Err(ENODEV);
        }
        acs::probe(pdev);
        let device = Device::new(unit.clone(), pdev)?;
        if let Err(e) = unit.add_device(&device) {
            device.release(pdev);
            return Err(e);
        }
        Ok((unit.clone(), device))
    }

    fn probe_finalize(pdev: &Function<'_>, device: &Device) {
        device.set_group(pdev);
    }

    fn release(pdev: &Function<'_>, device: &Arc<Device>) {
        device.release(pdev);
        device.unit().remove_device(device);
    }

    fn capable(device: &Device, capability: Capability) -> bool {
        let unit: &Unit = device.unit();
        match capability {
            Capability::CacheCoherency => true,
            // Whatever firmware did until the kernel was started, nothing has protected memory from
            // then until this module was loaded.
            Capability::PreBootProtection => false,
            Capability::EnforceCacheCoherency => unit.ecap().snoop_control(),
            Capability::DeferredFlush => true,
            Capability::AtsSupported => device.tlb().is_some(),
            Capability::NoExec | Capability::DirtyTracking => false,
        }
    }

    fn reserved_regions(pdev: &Function<'_>, device: &Device, list: &mut ReservedRegions<'_>) {
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
        let requester = pdev.real_dma_device().unwrap_or(pdev);
        device
            .unit()
            .firmware()
            .for_each_reserved(requester, |memory| {
                let start = Iova::new(memory.base.raw());
                // One less for a region that is all there is.
                let len = (memory.limit.raw() - memory.base.raw()).saturating_add(1);
                report(list.push(start, len, Prot::READ | Prot::WRITE, kind));
            });
        let (start, len) = MSI_WINDOW;
        report(list.push(start, len, Prot::empty(), ReservedKind::Msi));
    }

    fn default_domain(pdev: &Function<'_>, device: &Device) -> DefaultDomain {
        // A driver that is at work when we are loaded has handed out physical addresses.
        if pdev.is_bound() && !device.unit().is_settled() {
            DefaultDomain::Identity
        } else {
            DefaultDomain::Any
        }
    }

    fn alloc_paging(device: &Device, flags: u32) -> Result<Pin<KBox<driver::Domain<Domain>>>> {
        if flags != 0 {
            return Err(eopnotsupp());
        }
        let unit: &Unit = device.unit();
        Domain::new(unit, unit.stage()?, device.node())
    }

    fn attach_identity(device: &Arc<Device>, pasid: Pasid, old: OldDomain<'_, Self>) -> Result {
        device.attach_identity(pasid, is_paging(&old))
    }

    fn attach_blocked(device: &Arc<Device>, pasid: Pasid, old: OldDomain<'_, Self>) {
        device.attach_blocked(pasid, is_paging(&old));
    }

    fn attach_paging(
        domain: &Domain,
        device: &Arc<Device>,
        pasid: Pasid,
        old: OldDomain<'_, Self>,
    ) -> Result {
        device.attach_paging(domain.space(), pasid, is_paging(&old))
    }
}

fn is_paging(old: &OldDomain<'_, Vtd>) -> bool {
    matches!(old, OldDomain::Paging(_))
}
