// SPDX-License-Identifier: GPL-2.0

//! why: A fault is lent to its handler.
//! against: linux linux_aux
//! error: E0521

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::Mutex;
use linux::iommu::DmaFault;
use linux_aux::OnFault;

/// A handler.
#[pin_data]
pub struct Last {
    #[pin]
    // misuse {
    fault: Mutex<Option<&'static DmaFault>>,
    // } else {
    fault: Mutex<Option<u32>>,
    // }
}

impl OnFault for Last {
    fn fault(&self, fault: &DmaFault) {
        // misuse {
        *self.fault.lock() = Some(fault);
        // } else {
        *self.fault.lock() = Some(fault.reason);
        // }
    }
}
