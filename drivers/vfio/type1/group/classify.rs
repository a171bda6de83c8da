// SPDX-License-Identifier: GPL-2.0

//! What the devices of a group are that has no IOMMU of its own.

use crate::sys::endpoint::{NewEndpoint, NewGroup};
use crate::sys::mdev::Children;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// What a group of emulated devices turns out to be.
pub(super) enum Emulated<'call> {
    /// No DMA of its own: its parent driver pins pages and moves data.
    NoIommu,
    /// DMA with a PASID of the parent.
    AttachParent(NewEndpoint<'call>),
    /// Some of each, or of several parents: the first device that differs.
    Mixed(ARef<Device>),
    /// Auxiliary domains are wanted for this parent, and iommu_aux.ko is not loaded.
    NoAuxiliaryDomains(ARef<Device>),
}

impl<'call> Emulated<'call> {
    /// Of `group`, as mdev.ko says.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` for a parent without an IOMMU.
    pub(super) fn of(group: NewGroup<'call>) -> Result<Self> {
        let Some(children) = Children::of(group)? else {
            return Ok(Self::NoIommu);
        };
        let parent: ARef<Device> = match children.parent() {
            Err(other) => return Ok(Self::Mixed(other.into())),
            Ok(None) => return Ok(Self::NoIommu),
            Ok(Some(parent)) => parent.into(),
        };
        Ok(match children.into_endpoint()? {
            Some(endpoint) => Self::AttachParent(endpoint),
            None => Self::NoAuxiliaryDomains(parent),
        })
    }
}
