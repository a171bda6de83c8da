// SPDX-License-Identifier: GPL-2.0

//! What the operator can create.

use crate::adi::Adi;
use crate::engine::Engine;
use crate::events::Events;
use crate::hardware::Hardware;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::pci::driver::Vectors;
use linux::ratelimit::RateLimit;
use linux_mdev::{DomainType, Driver, Mdev, TypeInfo};
use siov_types::PhysAddr;

/// A device that offers its ADIs.
pub(crate) struct Parent {
    pub(crate) hardware: Arc<Hardware>,
    pub(crate) vectors: Arc<Vectors>,
    /// Where the user pages lie.
    pub(crate) user_pages: PhysAddr,
    /// Who sends the ADIs' requests.
    pub(crate) dev: ARef<Device>,
    /// Whether there are auxiliary domains.
    pub(crate) isolated: bool,
    /// Of messages about ADIs that cannot be opened.
    pub(crate) refusals: Pin<KBox<RateLimit>>,
}

pub(crate) struct Types;

/// Place of the type "mediated" in [`Types::TYPES`](Driver::TYPES).
const MEDIATED: usize = 1;

impl Driver for Types {
    const NAME: &'static CStr = c"siov_testdev";
    const TYPES: &'static [TypeInfo] = &[
        TypeInfo {
            name: c"adi",
            pretty: c"Assignable device interface",
            description: c"An ADI of the device, whose DMA the IOMMU isolates by a PASID",
        },
        TypeInfo {
            name: c"mediated",
            pretty: c"Mediated device interface",
            description: c"An ADI in software, for where the IOMMU cannot isolate one",
        },
    ];

    type Parent = Parent;
    type Device = Adi;

    fn available(parent: &Arc<Parent>, ty: usize) -> u32 {
        match ty {
            MEDIATED => parent.hardware.free_mediated(),
            _ if parent.isolated => parent.hardware.free(),
            _ => 0,
        }
    }

    fn create(parent: &Arc<Parent>, ty: usize, mdev: Mdev) -> Result<impl PinInit<Adi, Error>> {
        let events = Events::new()?;
        let engine = if ty == MEDIATED {
            mdev.set_domain_type(DomainType::NoIommu)?;
            Engine::mediated(&parent.hardware)?
        } else if parent.isolated {
            mdev.set_domain_type(DomainType::AttachParent)?;
            Engine::isolated(&parent.hardware, &events)?
        } else {
            dev_err!(
                mdev.dev(),
                "siov_testdev: the IOMMU cannot isolate an ADI, see the messages of the parent\n"
            );
            return Err(linux::error::eopnotsupp());
        };
        Ok(Adi::new(parent.clone(), mdev, events, engine))
    }
}
