// SPDX-License-Identifier: GPL-2.0

//! One remapping unit, as the IOMMU core knows it.

use super::{Core, Driver};
use crate::bindings;
use crate::module::{InUse, Kind};
use crate::object::Object;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// A `struct iommu_device` and the driver's data for it.
#[pin_data]
#[repr(C)]
pub struct Unit<D: Driver> {
    iommu: Opaque<bindings::iommu_device>,
    /// Whether it has a [`Registration`], which is unique.
    taken: AtomicBool,
    /// Whether the core may be given devices of the unit: from when the C structure has its operations
    /// and its folder in sysfs on, until they begin to go.
    registered: AtomicBool,
    #[pin]
    data: D::Unit,
}

// SAFETY: The C structure is guarded by the IOMMU core; the data is `Send`.
unsafe impl<D: Driver> Send for Unit<D> {}
// SAFETY: As above, and the data is `Sync`.
unsafe impl<D: Driver> Sync for Unit<D> {}

impl<D: Driver> Unit<D> {
    /// A unit that distinguishes `max_pasids` PASIDs of a device (0: none).
    pub fn new(data: impl PinInit<D::Unit, Error>, max_pasids: u32) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                iommu: Opaque::new(bindings::iommu_device {
                    max_pasids,
                    ..Default::default()
                }),
                taken: AtomicBool::new(false),
                registered: AtomicBool::new(false),
                data <- data,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Whether devices of the unit can be probed: it is registered, or being registered.
    pub fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Acquire)
    }
}

// SAFETY: `iommu` is the first field of a `repr(C)` structure.
unsafe impl<D: Driver> Object<bindings::iommu_device> for Unit<D> {}

impl<D: Driver> core::ops::Deref for Unit<D> {
    type Target = D::Unit;

    fn deref(&self) -> &D::Unit {
        &self.data
    }
}

/// The unit's folder in sysfs; removed when this is dropped.
struct Sysfs<D: Driver> {
    unit: Arc<Unit<D>>,
    core: Arc<Core<D>>,
    // Of the folder's files, and of the registration.
    _in_use: InUse,
}

impl<D: Driver> Sysfs<D> {
    fn new(unit: Arc<Unit<D>>, core: Arc<Core<D>>, name: &CStr) -> Result<Self> {
        if unit.taken.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        let _in_use = InUse::new(Kind::IommuUnit);
        let (groups, format) = (core.groups(), c"%s".as_char_ptr());
        // SAFETY: The unit is pinned in its `Arc` and not registered, and the groups are constant.
        let added = to_result(unsafe {
            let no_parent = core::ptr::null_mut();
            bindings::iommu_device_sysfs_add(
                unit.as_raw(),
                no_parent,
                groups,
                format,
                name.as_char_ptr(),
            )
        });
        if let Err(e) = added {
            unit.taken.store(false, Ordering::Release);
            return Err(e);
        }
        // SAFETY: Nobody else changes the operations of a unit that is not registered. The core sets them only when it
        // registers, and may probe a device of the unit for another one before.
        unsafe { (*unit.as_raw()).ops = core.ops() };
        unit.registered.store(true, Ordering::Release);
        Ok(Self {
            unit,
            core,
            _in_use,
        })
    }
}

impl<D: Driver> Drop for Sysfs<D> {
    fn drop(&mut self) {
        // Also here, for a unit that the core did not take.
        self.unit.registered.store(false, Ordering::Release);
        // SAFETY: Added in `new`, and the unit is not registered with the core any more.
        unsafe { bindings::iommu_device_sysfs_remove(self.unit.as_raw()) };
        self.unit.taken.store(false, Ordering::Release);
    }
}

/// A unit in the hands of the IOMMU core. Dropping it takes the unit, and every device of it, back.
pub struct Registration<D: Driver> {
    sysfs: Sysfs<D>,
}

impl<D: Driver> Registration<D> {
    /// Registers `unit` as `/sys/class/iommu/<name>`, which probes every device that has no IOMMU
    /// yet: [`Driver::probe`] and the attachment functions run before this returns.
    ///
    /// # Errors
    ///
    /// `EBUSY` for a unit that is registered, those of the IOMMU core.
    pub fn new(unit: Arc<Unit<D>>, core: Arc<Core<D>>, name: &CStr) -> Result<Self> {
        let sysfs = Sysfs::new(unit, core, name)?;
        let no_hwdev = core::ptr::null_mut();
        // SAFETY: The unit is not registered, it and the operations are kept by the result; the operations name their
        // module. On error the core has undone all.
        to_result(unsafe {
            bindings::iommu_device_register(sysfs.unit.as_raw(), sysfs.core.ops(), no_hwdev)
        })?;
        Ok(Self { sysfs })
    }

    /// The unit.
    pub fn unit(&self) -> &Arc<Unit<D>> {
        &self.sysfs.unit
    }
}

impl<D: Driver> Drop for Registration<D> {
    fn drop(&mut self) {
        // From here on no device comes to it.
        self.sysfs.unit.registered.store(false, Ordering::Release);
        // SAFETY: Registered in `new()`, and still so.
        unsafe { bindings::iommu_device_unregister(self.sysfs.unit.as_raw()) };
    }
}
