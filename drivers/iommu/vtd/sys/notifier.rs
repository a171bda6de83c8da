// SPDX-License-Identifier: GPL-2.0

//! The chain that reports blocked requests to others; `exports.c`, `include/linux/iommu-fault.h`.

use linux::bindings;
use linux::iommu::DmaFault;

/// Calls the notifiers that are registered. May be called in any context.
pub(crate) fn notify(fault: &DmaFault) {
    fault.with_raw(|raw| {
        // SAFETY: The fault and its device are valid until this returns.
        unsafe { bindings::vtd_notify_fault(raw.as_ptr()) }
    });
}
