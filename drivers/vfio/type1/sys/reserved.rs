// SPDX-License-Identifier: GPL-2.0

//! Ranges of IOVA that devices cannot use (`struct iommu_resv_region`).

use super::iommu::GroupedDevice;
use crate::group::Group;
use core::mem::offset_of;
use kernel::error::to_result;
use kernel::prelude::*;
use linux::bindings;
use linux::object::Object;
use siov_types::{Iova, IovaRange};

/// The ranges of a group or of a device.
pub(crate) struct Reserved {
    ranges: KVec<IovaRange>,
    msi_window: Option<IovaRange>,
}

impl Reserved {
    /// Of all devices of `group`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV`.
    pub(super) fn of_group(group: &Group) -> Result<Self> {
        let mut head = bindings::list_head::default();
        let head = initialise(&mut head);
        // SAFETY: The group is valid, the list ours and initialised.
        let ret = unsafe { bindings::iommu_get_group_resv_regions(group.as_raw(), head) };
        // SAFETY: The function puts copies of the regions into the list, also when it fails.
        let reserved = unsafe { Self::read(head) };
        // SAFETY: As above.
        for region in unsafe { Regions::of(head) } {
            // SAFETY: A region of its own, to which the iterator does not come back.
            unsafe { bindings::kfree(region.cast()) };
        }
        to_result(ret).and(reserved)
    }

    /// Of one device.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV`.
    pub(super) fn of_device(device: &GroupedDevice) -> Result<Self> {
        device.with(|dev| {
            let dev = dev.device().as_raw();
            let mut head = bindings::list_head::default();
            let head = initialise(&mut head);
            // SAFETY: The device has an IOMMU until the function returns; the list is ours.
            unsafe { bindings::iommu_get_resv_regions(dev, head) };
            // SAFETY: The IOMMU's driver has put regions into the list, which does not change.
            let reserved = unsafe { Self::read(head) };
            // SAFETY: As above; these are the regions that the driver gave for this device.
            unsafe { bindings::iommu_put_resv_regions(dev, head) };
            reserved
        })
    }

    /// # Safety
    ///
    /// As of [`Regions::of`].
    unsafe fn read(head: *mut bindings::list_head) -> Result<Self> {
        let mut ranges = KVec::new();
        let (mut hardware, mut software) = (false, None);
        // SAFETY: As required of us.
        for region in unsafe { Regions::of(head) } {
            // SAFETY: A region of the list is valid, and constant.
            let region = unsafe { region.read() };
            let range = IovaRange::from_len(Iova::new(region.start), region.length as u64);
            match region.type_ {
                // Mapped one to one for firmware's sake; a device of user space does not need it.
                bindings::iommu_resv_type_IOMMU_RESV_DIRECT_RELAXABLE => continue,
                bindings::iommu_resv_type_IOMMU_RESV_MSI => hardware = true,
                bindings::iommu_resv_type_IOMMU_RESV_SW_MSI => software = range,
                _ => {}
            }
            if let Some(range) = range {
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

    /// Where interrupt messages are translated, if software chooses that.
    pub(super) fn msi_window(&self) -> Option<IovaRange> {
        self.msi_window
    }
}

/// Makes an empty list, which stays where it is.
fn initialise(head: &mut bindings::list_head) -> *mut bindings::list_head {
    let this = core::ptr::from_mut(head);
    (head.next, head.prev) = (this, this);
    this
}

/// The regions of a list. One that has been returned may be freed.
struct Regions {
    head: *mut bindings::list_head,
    next: *mut bindings::list_head,
}

impl Regions {
    /// # Safety
    ///
    /// `head` is a list of `struct iommu_resv_region` that nothing else has access to.
    unsafe fn of(head: *mut bindings::list_head) -> Self {
        Self {
            head,
            // SAFETY: A list, as required of us.
            next: unsafe { (*head).next },
        }
    }
}

impl Iterator for Regions {
    type Item = *mut bindings::iommu_resv_region;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next;
        if core::ptr::eq(entry, self.head) {
            return None;
        }
        // SAFETY: An entry of the list, which was not returned before.
        self.next = unsafe { (*entry).next };
        let offset = offset_of!(bindings::iommu_resv_region, list);
        // SAFETY: It lies in a region.
        Some(unsafe { entry.byte_sub(offset) }.cast())
    }
}
