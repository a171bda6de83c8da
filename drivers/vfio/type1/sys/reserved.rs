// SPDX-License-Identifier: GPL-2.0

//! Ranges of IOVA that devices cannot use (`struct iommu_resv_region`).

use crate::group::Group;
use kernel::device::Device;
use kernel::interop::list::clist_create;
use kernel::prelude::*;
use linux::abi::Object;
use linux::bindings;
use siov_types::{Iova, IovaRange};

#[repr(transparent)]
struct Region(bindings::iommu_resv_region);

/// The ranges of a group or of a device.
pub(crate) struct Reserved {
    ranges: KVec<IovaRange>,
    msi_window: Option<u64>,
}

impl Reserved {
    /// Of all devices of `group`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV`.
    pub(crate) fn of_group(group: &Group) -> Result<Self> {
        let mut head = bindings::list_head::default();
        // SAFETY: The list is initialised before it is used, and the group is valid. The function
        // copies the regions: they are ours.
        unsafe {
            bindings::siov_vfio_device_list_init(&raw mut head);
            let ret = bindings::iommu_get_group_resv_regions(group.as_raw(), &raw mut head);
            let reserved = Self::read(&raw mut head);
            let mut next = head.next;
            while !core::ptr::eq(next, &raw const head) {
                let region = next.cast::<bindings::iommu_resv_region>();
                next = (*next).next;
                bindings::kfree(region.cast());
            }
            kernel::error::to_result(ret)?;
            reserved
        }
    }

    /// Of one device.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of_device(device: &Device) -> Result<Self> {
        let mut head = bindings::list_head::default();
        // SAFETY: As above; the driver's regions are given back to it.
        unsafe {
            bindings::siov_vfio_device_list_init(&raw mut head);
            bindings::iommu_get_resv_regions(device.as_raw(), &raw mut head);
            let reserved = Self::read(&raw mut head);
            bindings::iommu_put_resv_regions(device.as_raw(), &raw mut head);
            reserved
        }
    }

    /// # Safety
    ///
    /// `head` is a list of regions, nobody else's.
    unsafe fn read(head: *mut bindings::list_head) -> Result<Self> {
        let mut ranges = KVec::new();
        let (mut hardware, mut software) = (false, None);
        // SAFETY: As required of us.
        let list = unsafe { clist_create!(head, Region, bindings::iommu_resv_region, list) };
        for Region(region) in list.iter() {
            match region.type_ {
                // Mapped one to one for firmware's sake; a device in user space's hands needs it not.
                bindings::iommu_resv_type_IOMMU_RESV_DIRECT_RELAXABLE => continue,
                bindings::iommu_resv_type_IOMMU_RESV_MSI => hardware = true,
                bindings::iommu_resv_type_IOMMU_RESV_SW_MSI => software = Some(region.start),
                _ => {}
            }
            if let Some(range) = IovaRange::from_len(Iova::new(region.start), region.length as u64)
            {
                ranges.push(range, GFP_KERNEL)?;
            }
        }
        Ok(Self {
            ranges,
            // A window of the hardware takes precedence.
            msi_window: if hardware { None } else { software },
        })
    }

    /// The ranges.
    pub(crate) fn ranges(&self) -> &[IovaRange] {
        &self.ranges
    }

    /// Where software has interrupt messages written, if that is its business.
    pub(crate) fn msi_window(&self) -> Option<u64> {
        self.msi_window
    }
}
