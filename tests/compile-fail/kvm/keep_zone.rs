// SPDX-License-Identifier: GPL-2.0

//! why: A zone is freed when it is unregistered.
//! against: virt/kvm/coalesced_io.rs
//! error: borrowed data escapes outside of closure

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn keep(mut vm: Vm<'_>) {
    let mut zones = vm.lock_zones();
    let mut kept = None;
    zones.for_each(|zone| {
        // misuse {
        kept = Some(zone);
        // } else {
        kept = Some(zone.counts.coalesced.get());
        // }
    });
    zones.remove_if(|_| true);
    let _ = kept.is_some();
}
