// SPDX-License-Identifier: GPL-2.0

//! why: What is attached keeps its domain.
//! against: linux linux_aux
//! error: E0308

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::OwnedDomain;
use linux_aux::{Attachment, Enabled};

/// Attaches a domain that it does not give away.
pub fn attach(device: Arc<Enabled>, domain: Arc<OwnedDomain>) -> Result<Attachment> {
    // misuse {
    let attachment = Attachment::new(device, &domain);
    // } else {
    let attachment = Attachment::new(device, domain.clone());
    // }
    attachment
}
