// SPDX-License-Identifier: GPL-2.0

//! why: Drivers of mediated devices use a domain until VFIO detaches their group: it is that which
//!     VFIO is attaching.
//! against: drivers/vfio/type1/type1.rs
//! error: E0061
//! error: E0599

#![forbid(unsafe_code)]

use crate::sys::endpoint::{NewEndpoint, NewGroup};
use crate::sys::mdev::Children;
use kernel::prelude::*;

/// Where the DMA of `other` enters a domain.
pub(crate) fn endpoint<'call>(
    children: Children<'_>,
    other: NewGroup<'call>,
) -> Result<NewEndpoint<'call>> {
    // misuse {
    let parent = children.into_parent()?;
    NewEndpoint::new(other, parent)
    // } else {
    drop(children);
    NewEndpoint::new(other)
    // }
}
