// SPDX-License-Identifier: GPL-2.0

//! A driver in Rust that uses auxiliary domains, for tests: enables every siov-testdev that has a
//! driver, and keeps two domains attached to each until it is unloaded.

use kernel::prelude::*;
use kernel::sync::Arc;
use linux::device::{with_driver, Driven};
use linux::iommu::{DmaFault, IommuDevice, OwnedDomain};
use linux::pci::{self, DeviceExt};
use linux_aux::{auxiliary_id, is_capable, Attachment, Enabled, FaultHandler, OnFault};

module! {
    type: Module,
    name: "aux_rust",
    authors: ["siov-rs developers"],
    description: "Auxiliary domains used from Rust, for tests",
    license: "GPL",
    params: {
        stale: u8 {
            default: 0,
            description: "1 keeps an attachment while the device is unbound and bound again",
        },
    },
}

const SIOV_TESTDEV: (u16, u16) = (0x1234, 0x510f);

/// Logs the faults that are reported to it.
struct Told;

impl OnFault for Told {
    fn fault(&self, fault: &DmaFault) {
        let pasid = fault.pasid.map_or(0, |p| p.raw());
        dev_info!(fault.dev, "told of a fault of PASID {pasid}\n");
    }
}

/// What is dropped first must go first.
struct Device {
    _told: Option<Pin<KBox<FaultHandler<Told>>>>,
    _first: Attachment,
    _second: Attachment,
}

impl Device {
    fn new(bound: Driven<'_>) -> Result<Self> {
        if !is_capable(bound) {
            return Err(ENODEV);
        }
        let enabled = Arc::new(Enabled::new(bound)?, GFP_KERNEL)?;
        if Enabled::new(bound).err() != Some(EBUSY) {
            return Err(EINVAL);
        }
        let iommu = IommuDevice::new(bound).ok_or(ENODEV)?;
        let domain = || Arc::new(OwnedDomain::new(iommu)?, GFP_KERNEL).map_err(Error::from);
        let (first, second) = (domain()?, domain()?);
        if auxiliary_id(&first).err() != Some(ENODEV) {
            return Err(EINVAL);
        }
        let first = Attachment::new(enabled.clone(), first)?;
        let again = Attachment::new(enabled.clone(), first.domain().clone())?;
        let second = Attachment::new(enabled, second)?;
        if again.pasid() != first.pasid() || second.pasid() == first.pasid() {
            return Err(EINVAL);
        }
        drop(again);
        if auxiliary_id(first.domain())? != first.pasid() {
            return Err(EINVAL);
        }
        dev_info!(
            bound,
            "PASIDs {} and {}\n",
            first.pasid().raw(),
            second.pasid().raw()
        );
        Ok(Self {
            _told: first.on_fault(Told).ok(),
            _first: first,
            _second: second,
        })
    }
}

/// Attaches `domain`, or a new one.
fn attach(bound: Driven<'_>, domain: Option<Arc<OwnedDomain>>) -> Result<Attachment> {
    let enabled = Arc::new(Enabled::new(bound)?, GFP_KERNEL)?;
    let domain = match domain {
        Some(domain) => domain,
        None => {
            let iommu = IommuDevice::new(bound).ok_or(ENODEV)?;
            Arc::new(OwnedDomain::new(iommu)?, GFP_KERNEL)?
        }
    };
    Attachment::new(enabled, domain)
}

/// What was attached before the driver was unbound changes nothing after it was bound again.
fn stale(dev: &pci::Device) -> Result {
    let old = with_driver(dev.as_dev(), |bound| attach(bound, None)).ok_or(ENODEV)??;
    dev.unbind();
    dev.rebind()?;
    let domain = old.domain().clone();
    let new = with_driver(dev.as_dev(), |bound| attach(bound, Some(domain))).ok_or(ENODEV)??;
    drop(old);
    if auxiliary_id(new.domain())? != new.pasid() {
        return Err(EINVAL);
    }
    dev_info!(dev.as_dev(), "attached as before\n");
    drop(new);
    Ok(())
}

struct Module {
    _devices: KVec<Device>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let mut devices = KVec::new();
        for dev in pci::devices().filter(|d| d.id() == SIOV_TESTDEV) {
            if linux::param::value::<u8>(module_parameters::stale.value()) != 0 {
                stale(&dev)?;
                continue;
            }
            let device = with_driver(dev.as_dev(), Device::new).ok_or(ENODEV)??;
            devices.push(device, GFP_KERNEL)?;
        }
        Ok(Self { _devices: devices })
    }
}
