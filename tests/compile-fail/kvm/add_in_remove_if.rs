// SPDX-License-Identifier: GPL-2.0

//! why: The list must not change while it is walked.
//! against: virt/kvm/coalesced_io.rs
//! error: E0499

#![forbid(unsafe_code)]

use crate::sys::Vm;
use siov_ring::{Space, Zone};

pub fn add(mut vm: Vm<'_>) {
    let mut zones = vm.lock_zones();
    zones.remove_if(|_| {
        // misuse {
        let _ = zones.add(Zone::new(Space::Mmio, 0, 8));
        // }
        true
    });
    let _ = zones.add(Zone::new(Space::Mmio, 0, 8));
}
