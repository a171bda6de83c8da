// SPDX-License-Identifier: GPL-2.0

//! The loaded module, which is registered with VFIO.
//!
//! C header: `drivers/vfio/vfio.h`

use super::handle::Open;
use super::ops::{operations, Container};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use linux::bindings;
use linux::module::{wait_for_callers, InUse, Kind};
use linux::unload::UntilUnload;

/// The C structure, which C code reads.
struct Operations(bindings::vfio_iommu_driver_ops);

// SAFETY: It is constant, and what it points to is so, too.
unsafe impl Send for Operations {}
// SAFETY: As above.
unsafe impl Sync for Operations {}

/// Whether the driver is registered.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// The right to be the only registration, given back when dropped.
struct Only;

impl Only {
    /// # Errors
    ///
    /// `EBUSY` when it is taken.
    fn new() -> Result<Self> {
        if REGISTERED.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        Ok(Self)
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        REGISTERED.store(false, Ordering::Release);
    }
}

/// The loaded module: the driver is registered until it is unloaded, and there is one at a time. By
/// then all containers are released, since VFIO takes a reference to the module for each of them,
/// and so are those for which a request was under way when the last group left ([`super::handle`]).
pub(crate) struct Module<T: Container> {
    _registered: UntilUnload<Registered<T>>,
}

impl<T: Container> kernel::Module for Module<T> {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let operations = KBox::new(Operations(operations::<T>(module)), GFP_KERNEL)?;
        let _only = Only::new()?;
        // SAFETY: The only one, which is dropped before `_only` is. VFIO calls no function by then:
        // the driver is not registered yet, or the module is being unloaded. It calls those for
        // containers `T`.
        let _open = unsafe { Open::new() }?;
        let _in_use = InUse::new(Kind::VfioIommuDriver);
        // SAFETY: The operations live until they are unregistered.
        to_result(unsafe { bindings::vfio_register_iommu_driver(&raw const operations.0) })?;
        Ok(Self {
            _registered: UntilUnload::new(Registered {
                operations,
                _open,
                _only,
                _in_use,
            }),
        })
    }
}

/// The driver, while it is registered.
struct Registered<T: Container> {
    operations: KBox<Operations>,
    // Dropped in this order, after the driver was unregistered.
    _open: Open<T>,
    _only: Only,
    _in_use: InUse,
}

impl<T: Container> Drop for Registered<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `Module::init`.
        unsafe { bindings::vfio_unregister_iommu_driver(&raw const self.operations.0) };
        // Requests that came too late to find a container, and those that have just dropped one.
        wait_for_callers();
    }
}
