// SPDX-License-Identifier: GPL-2.0

//! why: Faults come in interrupts of any processor, so a listener has to be `Sync`.
//! against: linux
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use linux::iommu::{DmaFault, FaultListener};

/// A listener.
pub struct Count(
    // misuse {
    core::cell::Cell<u32>,
    // } else {
    core::sync::atomic::AtomicU32,
    // }
);

impl FaultListener for Count {
    fn fault(&self, fault: DmaFault) {
        let (_, _) = (&self.0, fault);
    }
}
