// SPDX-License-Identifier: GPL-2.0

//! why: The domain that a device is detached from is lent for the call: it may be freed next.
//! against: linux
//! error: E0621

#![forbid(unsafe_code)]

use linux::iommu::driver::{Driver, OldDomain};

// misuse {
/// Lets it out.
pub fn keep<'a, D: Driver>(old: OldDomain<'_, D>) -> Option<&'a D::Paging> {
    match old {
        OldDomain::Paging(domain) => Some(domain),
        _ => None,
    }
}
// } else {
/// Looks at it.
pub fn look<'a, D: Driver>(old: OldDomain<'a, D>) -> Option<&'a D::Paging> {
    match old {
        OldDomain::Paging(domain) => Some(domain),
        _ => None,
    }
}
// }
