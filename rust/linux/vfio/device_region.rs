// SPDX-License-Identifier: GPL-2.0

//! `VFIO_DEVICE_GET_REGION_INFO`: where the regions of a device lie in its file.

use crate::device::{Container, Device};
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::{bindings, c_arguments};

/// What a region holds.
#[derive(Clone, Copy, Debug)]
pub enum RegionKind {
    /// What its index says, as for the first ones of a PCI device.
    Indexed,
    /// Something that a type and a subtype name (`VFIO_REGION_INFO_CAP_TYPE`).
    Typed {
        /// `VFIO_REGION_TYPE_PCI_VENDOR_TYPE` and the vendor, for instance.
        ty: u32,
        /// Within the type.
        subtype: u32,
    },
}

/// The index of a region is what an offset into the file has above these bits, as in vfio-pci.
pub(crate) const OFFSET_SHIFT: u32 = 40;

/// Region and offset in it, of an offset into the file.
pub(crate) fn split(offset: u64) -> (u32, u64) {
    (
        (offset >> OFFSET_SHIFT) as u32,
        offset & ((1 << OFFSET_SHIFT) - 1),
    )
}

// SAFETY: VFIO passes structures of its own, to be filled in by the function alone.
c_arguments!(unsafe {
    /// What the user is told.
    pub(crate) struct Info<'a>(&'a mut bindings::vfio_region_info): *mut bindings::vfio_region_info;
    /// What he is told behind that.
    pub(crate) struct Capabilities<'a>(
        &'a Opaque<bindings::vfio_info_cap>
    ): *mut bindings::vfio_info_cap;
});

pub(crate) extern "C" fn region_info<T: Device>(
    device: &Container<T>,
    Info(info): Info<'_>,
    caps: Capabilities<'_>,
) -> i32 {
    from_result(|| {
        let (data, _) = device.parts()?;
        if info.index >= T::REGIONS {
            return Err(EINVAL);
        }
        let region = data.region(info.index);
        info.size = region.size;
        info.offset = u64::from(info.index) << OFFSET_SHIFT;
        info.flags = 0;
        if region.size == 0 {
            return Ok(0);
        }
        for (has, flag) in [
            (region.read, bindings::VFIO_REGION_INFO_FLAG_READ),
            (region.write, bindings::VFIO_REGION_INFO_FLAG_WRITE),
            (region.mmap, bindings::VFIO_REGION_INFO_FLAG_MMAP),
        ] {
            if has {
                info.flags |= flag;
            }
        }
        if let RegionKind::Typed { ty, subtype } = region.kind {
            let mut cap = bindings::vfio_region_info_cap_type {
                header: bindings::vfio_info_cap_header {
                    id: bindings::VFIO_REGION_INFO_CAP_TYPE as u16,
                    version: 1,
                    next: 0,
                },
                type_: ty,
                subtype,
            };
            // SAFETY: The chain is VFIO's, and the capability is copied.
            to_result(unsafe {
                bindings::vfio_info_add_capability(
                    caps.0.get(),
                    &raw mut cap.header,
                    size_of::<bindings::vfio_region_info_cap_type>(),
                )
            })?;
        }
        Ok(0)
    })
}
