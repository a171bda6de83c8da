// SPDX-License-Identifier: GPL-2.0

//! The types of mediated devices that an operator can create.

use crate::adi::Adi;
use crate::engine::Engine;
use crate::events::Events;
use crate::parent::Parent;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux_mdev::{DomainType, Driver, Mdev, TypeInfo};

pub(crate) struct SiovTestdevMdev;

#[derive(Clone, Copy)]
pub(crate) enum Type {
    /// An ADI of the hardware.
    Adi,
    /// An ADI in software.
    Mediated,
}

impl Driver for SiovTestdevMdev {
    const NAME: &'static CStr = c"siov_testdev";

    type Type = Type;
    const TYPES: &'static [TypeInfo<Type>] = &[
        TypeInfo {
            ty: Type::Adi,
            name: c"adi",
            pretty: c"Assignable device interface",
            description: c"An ADI of the device, whose DMA the IOMMU isolates by a PASID",
        },
        TypeInfo {
            ty: Type::Mediated,
            name: c"mediated",
            pretty: c"Mediated device interface",
            description: c"An ADI in software, for where the IOMMU cannot isolate one",
        },
    ];

    type Parent = Parent;
    type Device = Adi;

    fn available(parent: &Arc<Parent>, ty: Type) -> u32 {
        match ty {
            Type::Mediated => parent.hardware.free_mediated(),
            Type::Adi if parent.isolated => parent.hardware.free(),
            Type::Adi => 0,
        }
    }

    fn create(parent: &Arc<Parent>, ty: Type, mdev: &Mdev) -> Result<impl PinInit<Adi, Error>> {
        let events = Events::new()?;
        let engine = match ty {
            Type::Mediated => {
                mdev.set_domain_type(DomainType::NoIommu)?;
                Engine::mediated(&parent.hardware)?
            }
            Type::Adi if parent.isolated => {
                mdev.set_domain_type(DomainType::AttachParent)?;
                Engine::isolated(&parent.hardware, &events)?
            }
            Type::Adi => {
                dev_err!(
                    mdev.dev(),
                    "siov_testdev: the IOMMU cannot isolate an ADI, see the messages of the parent\n"
                );
                return Err(linux::error::eopnotsupp());
            }
        };
        Ok(Adi::new(parent.clone(), events, engine))
    }
}
