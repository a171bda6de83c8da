// SPDX-License-Identifier: GPL-2.0

//! why: Nothing ties a domain to what it is attached to, so attaching it is unsafe.
//! against: linux siov_types
//! error: E0133

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::{GlobalPasid, IommuDevice, OwnedDomain, PasidAttachment};

/// Frees a domain that is attached.
pub fn free(dev: IommuDevice<'_>) -> Result {
    let pasid = GlobalPasid::new(dev).ok_or(ENOSPC)?;
    let domain = OwnedDomain::new(dev)?;
    // misuse {
    let attachment = PasidAttachment::new(&domain, dev, pasid.get())?;
    // } else {
    let attachment: Option<PasidAttachment> = None;
    // }
    drop(domain);
    drop(attachment);
    drop(pasid);
    Ok(())
}
