// SPDX-License-Identifier: GPL-2.0

//! `VFIO_DEVICE_GET_REGION_INFO`: where the regions of a device lie in its file.

use crate::device::Device;
use crate::registration::Open;
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::c_int;
use kernel::prelude::*;
use linux::bindings;
use linux::callback::{Call, FromC};

/// What a region holds.
#[derive(Clone, Copy, Debug)]
pub enum RegionKind {
    /// What its index says, as for the first ones of a PCI device.
    Indexed,
    /// What a type and a subtype name (`VFIO_REGION_INFO_CAP_TYPE`).
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

/// What the user is shown of a region.
///
/// As a parameter of a callback it demands a pointer to an initialised structure that nothing else
/// uses until the call ends.
pub(crate) struct Info<'call>(*mut bindings::vfio_region_info, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut bindings::vfio_region_info> for Info<'call> {
    unsafe fn from_c(c: *mut bindings::vfio_region_info, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl Info<'_> {
    fn get(&self) -> bindings::vfio_region_info {
        // SAFETY: Valid, and not used by others until the call ends.
        unsafe { self.0.read() }
    }

    fn set(&self, info: bindings::vfio_region_info) {
        // SAFETY: As above.
        unsafe { self.0.write(info) };
    }
}

/// What the user is shown after [`Info`].
///
/// As a parameter of a callback it demands a pointer to a list that nothing else uses until the
/// call ends.
pub(crate) struct Capabilities<'call>(*mut bindings::vfio_info_cap, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut bindings::vfio_info_cap> for Capabilities<'call> {
    unsafe fn from_c(c: *mut bindings::vfio_info_cap, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl Capabilities<'_> {
    /// Adds `VFIO_REGION_INFO_CAP_TYPE`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn add_type(&self, ty: u32, subtype: u32) -> Result {
        let mut cap = bindings::vfio_region_info_cap_type {
            header: bindings::vfio_info_cap_header {
                id: bindings::VFIO_REGION_INFO_CAP_TYPE as u16,
                version: 1,
                next: 0,
            },
            type_: ty,
            subtype,
        };
        let (start, len) = ((&raw mut cap).cast(), size_of_val(&cap));
        // SAFETY: The list is valid, and the capability, whose header comes first, is copied.
        to_result(unsafe { bindings::vfio_info_add_capability(self.0, start, len) })
    }
}

pub(crate) fn region_info<T: Device>(
    device: Open<'_, T>,
    info: Info<'_>,
    caps: Capabilities<'_>,
) -> c_int {
    from_result(|| {
        let (data, _) = device.parts()?;
        let mut shown = info.get();
        if shown.index >= T::REGIONS {
            return Err(EINVAL);
        }
        let region = data.region(shown.index);
        shown.size = region.size;
        shown.offset = u64::from(shown.index) << OFFSET_SHIFT;
        shown.flags = 0;
        if region.size != 0 {
            for (has, flag) in [
                (region.read, bindings::VFIO_REGION_INFO_FLAG_READ),
                (region.write, bindings::VFIO_REGION_INFO_FLAG_WRITE),
                (region.mmap, bindings::VFIO_REGION_INFO_FLAG_MMAP),
            ] {
                if has {
                    shown.flags |= flag;
                }
            }
            if let RegionKind::Typed { ty, subtype } = region.kind {
                caps.add_type(ty, subtype)?;
            }
        }
        info.set(shown);
        Ok(0)
    })
}
