// SPDX-License-Identifier: GPL-2.0

//! Parent driver of the emulated device siov-testdev (Documentation/siov-testdev.rst): each
//! assignable device interface (ADI) becomes a mediated device, whose DMA the IOMMU isolates by a
//! PASID.
//!
//! - [`hardware`] is the device as the register specification has it, without VFIO, and [`parent`]
//!   what the mediated devices share of it;
//! - [`types`] is what the operator can create, [`adi`] what the user of an ADI sees, and
//!   [`engine`] what does the work;
//! - [`events`] are the ways by which a user learns of completions and faults, and [`faults`] finds
//!   out whose they are.
//!
//! Locks, outermost first: VFIO's (open and close), `Adi::open`, `Adi::state`, `MediatedAdi::adi`,
//! `Hardware::users`, `Events::state`. Work of an ADI in software pins memory of its user, with
//! `MediatedAdi::adi` held (see `linux_vfio`).

#![deny(unsafe_code)]

use kernel::device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::pci::driver::{self as pci_driver, Function, Loss};
use linux::ratelimit::RateLimit;
use linux_aux::Enabled;
use linux_mdev::{DriverRegistration, ParentRegistration};
use siov_testdev_regs::pci;

mod adi;
mod engine;
mod events;
mod faults;
mod hardware;
mod parent;
mod types;

use crate::faults::Faults;
use crate::hardware::Hardware;
use crate::parent::Parent;
use crate::types::SiovTestdevMdev;

module! {
    type: Module,
    name: "siov_testdev",
    authors: ["siov-rs developers"],
    description: "Mediated devices on the emulated device siov-testdev",
    license: "GPL",
    alias: ["pci:v00001234d0000510Fsv*sd*bc*sc*i*"],
}

struct Module {
    _pci: Pin<KBox<pci_driver::Registration<Driver>>>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let mdev = DriverRegistration::new(module)?;
        Ok(Self {
            _pci: pci_driver::Registration::new(Driver { mdev }, module)?,
        })
    }
}

struct Driver {
    mdev: Arc<DriverRegistration<SiovTestdevMdev>>,
}

/// A device in use. Fields are dropped in this order: its users before the hardware.
struct Device {
    _parent: ParentRegistration<SiovTestdevMdev>,
    _faults: pci_driver::Interrupt<Faults>,
    hardware: Arc<Hardware>,
    dev: ARef<device::Device>,
    _aux: Option<Enabled>,
}

impl pci_driver::Driver for Driver {
    type Data = Device;

    const NAME: &'static CStr = c"siov_testdev";
    const ID: (u16, u16) = (pci::VENDOR_ID, pci::DEVICE_ID);

    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Device>>> {
        let dev = function.bound();
        function.enable()?;
        let hardware = Hardware::new(function)?;
        let aux = match Enabled::new(function) {
            Ok(aux) => Some(aux),
            Err(e) => {
                dev_warn!(
                    dev,
                    "no auxiliary domains (error {}): the IOMMU cannot isolate ADIs\n",
                    e.to_errno()
                );
                None
            }
        };
        let vectors = function.alloc_vectors(1 + hardware.adis())?;
        let faults = Arc::new(Faults::new(hardware.clone(), function)?, GFP_KERNEL)?;
        let faults =
            pci_driver::Interrupt::new(&vectors, pci::VECTOR_ERROR, faults, c"siov_testdev-fault")?;
        hardware.report_faults();
        let parent = Arc::new(
            Parent {
                hardware: hardware.clone(),
                vectors,
                dev: (&**dev).into(),
                isolated: aux.is_some(),
                refusals: KBox::pin_init(
                    RateLimit::new(5, 10, c"siov_testdev refusals"),
                    GFP_KERNEL,
                )?,
            },
            GFP_KERNEL,
        )?;
        let parent = ParentRegistration::new(dev, &self.mdev, parent)?;
        dev_info!(dev, "{} ADIs\n", hardware.adis());
        Ok(KBox::pin(
            Device {
                _parent: parent,
                _faults: faults,
                hardware,
                dev: (&**dev).into(),
                _aux: aux,
            },
            GFP_KERNEL,
        )?)
    }

    fn quiesce(device: Pin<&Device>, loss: Loss) {
        device.hardware.quiesce(loss);
    }

    fn restore(device: Pin<&Device>) -> Result {
        device.hardware.restore().inspect_err(|e| {
            dev_err!(device.dev, "not restored (error {})\n", e.to_errno());
        })
    }
}
