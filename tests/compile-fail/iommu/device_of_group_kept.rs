// SPDX-License-Identifier: GPL-2.0

//! why: The devices of a group are lent while the group's mutex is held.
//! against: linux
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use linux::iommu::{Group, IommuDevice};

/// Lets the first device out.
pub fn first(group: &Group) -> Option<u32> {
    // misuse {
    let dev: Option<IommuDevice<'_>> = group.with_first_device(|dev| dev);
    let pasids = dev.map(|dev| dev.max_pasids());
    // } else {
    let pasids = group.with_first_device(|dev| dev.max_pasids());
    // }
    pasids
}
