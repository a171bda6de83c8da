// SPDX-License-Identifier: GPL-2.0

//! why: A lock that is held is not taken again.
//! against: virt/kvm/coalesced_io.rs
//! error: E0499

#![forbid(unsafe_code)]

use crate::sys::Vm;

/// Counts zones.
pub(crate) fn count(mut vm: Vm<'_>) -> u32 {
    let mut count = 0;
    let zones = vm.lock_zones();
    // misuse {
    vm.lock_zones().for_each(|_| count += 1);
    // }
    zones.for_each(|_| count += 1);
    count
}
