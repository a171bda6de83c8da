// SPDX-License-Identifier: GPL-2.0

//! why: Pages are unpinned when no domain translates to them, so a domain does not leave its
//!     address space.
//! against: drivers/vfio/type1/type1.rs
//! error: E0596

#![forbid(unsafe_code)]

use crate::sys::domain::Domain;
use crate::sys::ioas::Ioas;

/// Takes a domain out.
pub(crate) fn take<M>(ioas: &mut Ioas<M>, other: &mut Domain) {
    // misuse {
    if let Some(domain) = ioas.domains().first() {
        core::mem::swap(&mut *domain, other);
    }
    // }
    let (_, _) = (ioas.domains().len(), other);
}
