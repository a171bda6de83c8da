// SPDX-License-Identifier: GPL-2.0

//! why: What keeps a module is given back once.
//! against: linux
//! error: E0382

#![forbid(unsafe_code)]

use linux::module::InUse;

/// Gives it back.
pub fn give_back(in_use: InUse) {
    // misuse {
    drop(in_use);
    // }
    drop(in_use);
}
