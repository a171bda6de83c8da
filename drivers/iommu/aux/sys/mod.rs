// SPDX-License-Identifier: GPL-2.0

//! What rests on the promises of C callers (`include/linux/iommu-aux.h`): a domain stays until it
//! is detached, a handler may be called until it is unregistered. The registry keeps our side of
//! it: what is detached or unregistered is in use no more when the call returns.

mod exports;
mod faults;
mod registry;

use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;

/// The loaded module. After it was dropped there is no registry, and callers get an error.
pub(crate) struct Module(());

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        // SAFETY: This is not reached a second time.
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
