// SPDX-License-Identifier: GPL-2.0

//! What rests on the promises of C callers (`include/linux/iommu-aux.h`): a domain stays until it
//! is detached, a handler may be called until it is unregistered. The registry keeps our side of
//! it: what is detached or unregistered is in use no more when the call returns.

mod exports;
mod faults;
mod registry;

use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use linux::module::{wait_for_callers, InUse, Kind};
use linux::unload::UntilUnload;

/// The loaded module, whose registry stays until it is unloaded.
pub(crate) struct Module {
    _registry: UntilUnload<Registry>,
}

/// The registry. When it was dropped, callers get an error.
struct Registry {
    _in_use: InUse,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        let _in_use = InUse::new(Kind::AuxRegistry);
        // SAFETY: This is not reached a second time.
        unsafe { registry::start() }?;
        Ok(Self {
            _registry: UntilUnload::new(Registry { _in_use }),
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        registry::stop();
        // Devices' drivers may have been unbound just now: `UntilUnbound`.
        wait_for_callers();
    }
}
