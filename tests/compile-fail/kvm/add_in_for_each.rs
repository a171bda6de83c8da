// SPDX-License-Identifier: GPL-2.0

//! why: The list must not change while it is walked.
//! against: virt/kvm/coalesced_io.rs
//! error: E0502

#![forbid(unsafe_code)]

use crate::sys::Vm;
use siov_ring::{Space, Zone};

pub fn add(mut vm: Vm<'_>) {
    let mut zones = vm.lock_zones();
    zones.for_each(|_| {
        // misuse {
        let _ = zones.add(Zone::new(Space::Mmio, 0, 8));
        // }
    });
    let _ = zones.add(Zone::new(Space::Mmio, 0, 8));
}
