// SPDX-License-Identifier: GPL-2.0

//! What rests on the promises of C callers (`include/linux/iommu-aux.h`): a domain stays until it is detached, a
//! handler may be called until it is unregistered. The registry keeps our side of it: what is detached or
//! unregistered is in use no more when the call returns.

mod exports;
mod faults;
mod registry;

use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;

/// The loaded module. It is in the place that `module!` has for it, which only the kernel drops: all callers depend on
/// the module, and have been unloaded by then.
pub(crate) struct Module(());

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        // SAFETY: This is not reached a second time, and whoever links with the module's functions waits until it has
        // returned.
        unsafe { registry::start() }?;
        Ok(Self(()))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        registry::stop();
        // Devices' drivers may have been unbound just now: `UntilUnbound`.
        linux::module::wait_for_callers();
    }
}
