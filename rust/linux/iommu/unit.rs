// SPDX-License-Identifier: GPL-2.0

//! One remapping unit, as the IOMMU core knows it.

use super::{Core, Driver};
use crate::abi::Object;
use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// A `struct iommu_device` and the driver's data for it.
#[pin_data]
#[repr(C)]
pub struct Unit<D: Driver> {
    iommu: Opaque<bindings::iommu_device>,
    #[pin]
    data: D::Unit,
}

// SAFETY: The C structure is guarded by the IOMMU core; the data is `Send`.
unsafe impl<D: Driver> Send for Unit<D> {}
// SAFETY: As above, and the data is `Sync`.
unsafe impl<D: Driver> Sync for Unit<D> {}

impl<D: Driver> Unit<D> {
    /// A unit that can tell `max_pasids` PASIDs of a device apart (0: none).
    pub fn new(data: impl PinInit<D::Unit, Error>, max_pasids: u32) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                iommu: Opaque::new(bindings::iommu_device {
                    max_pasids,
                    ..Default::default()
                }),
                data <- data,
            }? Error),
            GFP_KERNEL,
        )
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

/// The unit's folder in sysfs; goes when this is dropped.
struct Sysfs<D: Driver> {
    unit: Arc<Unit<D>>,
    core: Arc<Core<D>>,
}

impl<D: Driver> Drop for Sysfs<D> {
    fn drop(&mut self) {
        // SAFETY: Only made by `Registration::new()`, after the folder.
        unsafe { bindings::iommu_device_sysfs_remove(self.unit.as_raw()) };
    }
}

/// A unit in the hands of the IOMMU core. Dropping it takes the unit, and every device behind it,
/// back.
pub struct Registration<D: Driver> {
    sysfs: Sysfs<D>,
}

impl<D: Driver> Registration<D> {
    /// Registers `unit` as `/sys/class/iommu/<name>`, which probes every device that has no IOMMU
    /// yet: [`Driver::probe`] and the attachment functions run before this returns.
    pub fn new(unit: Arc<Unit<D>>, core: Arc<Core<D>>, name: &CStr) -> Result<Self> {
        // SAFETY: The unit is pinned in its `Arc`, and the groups live in `core`; both are kept.
        to_result(unsafe {
            bindings::iommu_device_sysfs_add(
                unit.as_raw(),
                core::ptr::null_mut(),
                core.groups(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        let sysfs = Sysfs { unit, core };
        // SAFETY: As above; the operations name their module. On error the core has undone all.
        to_result(unsafe {
            bindings::iommu_device_register(
                sysfs.unit.as_raw(),
                sysfs.core.ops(),
                core::ptr::null_mut(),
            )
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
        // SAFETY: Registered in `new()`, and still so.
        unsafe { bindings::iommu_device_unregister(self.sysfs.unit.as_raw()) };
    }
}
