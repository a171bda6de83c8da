// SPDX-License-Identifier: GPL-2.0

//! why: Only what attaches a domain makes the value that detaches it.
//! against: linux linux_aux siov_types
//! error: E0451

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::OwnedDomain;
use linux_aux::{Attachment, Enabled};
use siov_types::Pasid;

/// Attaches nothing.
pub fn attach(device: Arc<Enabled>, domain: Arc<OwnedDomain>) -> Result<Attachment> {
    let pasid = Pasid::NO_PASID;
    // misuse {
    return Ok(Attachment {
        device,
        domain,
        pasid,
    });
    // }
    let _ = pasid;
    Attachment::new(device, domain)
}
