// SPDX-License-Identifier: GPL-2.0

//! why: A device without a driver may be leaving its group.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::device::Driven;
use linux::iommu::Group;

/// The group's number.
pub fn group(driven: Driven<'_>, device: &Device) -> i32 {
    // misuse {
    let group = Group::of(device);
    // } else {
    let group = Group::of_driven(driven);
    // }
    let (_, _) = (driven, device);
    group.map_or(-1, |group| group.id())
}
