// SPDX-License-Identifier: GPL-2.0

//! why: A PASID is freed once.
//! against: linux
//! error: E0277 Clone` is not satisfied

#![forbid(unsafe_code)]

use linux::iommu::GlobalPasid;

// misuse {
/// Frees it twice.
pub fn twice(pasid: &GlobalPasid) {
    drop(GlobalPasid::clone(pasid));
    drop(GlobalPasid::clone(pasid));
}
// } else {
/// Frees it once.
pub fn once(pasid: GlobalPasid) {
    drop(pasid);
}
// }
