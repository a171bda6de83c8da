// SPDX-License-Identifier: GPL-2.0

//! why: No zone is looked at while zones are removed.
//! against: virt/kvm/coalesced_io.rs
//! error: E0502

#![forbid(unsafe_code)]

use crate::sys::Vm;

/// Removes all zones.
pub(crate) fn remove(mut vm: Vm<'_>) -> u64 {
    let mut zones = vm.lock_zones();
    let counts = zones.vm_counts();
    // misuse {
    zones.remove_if(|_| true);
    // }
    counts.map_or(0, |counts| counts.gone.full.get())
}
