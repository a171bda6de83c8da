// SPDX-License-Identifier: GPL-2.0

//! What the operator can create.

use crate::adi::Adi;
use crate::hardware::Hardware;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::pci_driver::Vectors;
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
}

pub(crate) struct Types;

impl Driver for Types {
    const NAME: &'static CStr = c"siov_testdev";
    const TYPES: &'static [TypeInfo] = &[TypeInfo {
        name: c"adi",
        pretty: c"Assignable device interface",
        description: c"An ADI of the device, whose DMA the IOMMU isolates by a PASID",
    }];

    type Parent = Parent;
    type Device = Adi;

    fn available(parent: &Arc<Parent>, _ty: usize) -> u32 {
        if parent.isolated {
            parent.hardware.free()
        } else {
            0
        }
    }

    fn create(
        parent: &Arc<Parent>,
        _ty: usize,
        mdev: Mdev,
    ) -> Result<impl PinInit<Adi, Error>> {
        if !parent.isolated {
            dev_err!(
                mdev.dev(),
                "siov_testdev: the IOMMU cannot isolate an ADI, see the messages of the parent\n"
            );
            return Err(linux::error::eopnotsupp());
        }
        mdev.set_domain_type(DomainType::AttachParent)?;
        Adi::new(parent, mdev)
    }
}
