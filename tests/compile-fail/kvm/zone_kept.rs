// SPDX-License-Identifier: GPL-2.0

//! why: A zone is there as long as the list is locked.
//! against: virt/kvm/coalesced_io.rs
//! error: E0521

#![forbid(unsafe_code)]

use crate::counts::CountedZone;
use crate::sys::Vm;

/// Takes zones out.
pub(crate) fn keep(mut vm: Vm<'_>) -> bool {
    let mut kept: Option<&CountedZone> = None;
    let zones = vm.lock_zones();
    // misuse {
    zones.for_each(|zone| kept = Some(zone));
    // } else {
    zones.for_each(|zone| drop(zone.zone.start()));
    // }
    kept.take().is_some()
}
