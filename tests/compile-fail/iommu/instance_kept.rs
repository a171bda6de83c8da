// SPDX-License-Identifier: GPL-2.0

//! why: An instance is lent: it may be withdrawn next.
//! against: linux
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use linux::instance::Instance;

/// Lets it out.
pub fn keep(instance: &'static Instance<u64>) -> Option<u64> {
    // misuse {
    let value = instance.with(|value| value).copied();
    // } else {
    let value = instance.with(|value| *value);
    // }
    value
}
