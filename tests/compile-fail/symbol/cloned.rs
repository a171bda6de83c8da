// SPDX-License-Identifier: GPL-2.0

//! why: A symbol is put once for each time that it was got.
//! against: linux
//! error: E0277 Clone` is not satisfied

#![forbid(unsafe_code)]

use kernel::ffi::c_int;
use linux::bindings;

linux::imports! {
    /// `mdev_get_domain_type()`.
    pub struct GetDomainType = fn mdev_get_domain_type(*mut bindings::device) -> c_int;
}

// misuse {
/// Puts it twice.
pub fn twice(get: &GetDomainType) {
    drop(GetDomainType::clone(get));
    drop(GetDomainType::clone(get));
}
// } else {
/// Puts it once.
pub fn once(get: GetDomainType) {
    drop(get);
}
// }
