// SPDX-License-Identifier: GPL-2.0

//! The C objects behind references, for the crates beside this one.

use crate::bindings;
use crate::iommu::AnyDomain;
use kernel::device::{Device, DeviceContext};

/// The `struct device`.
pub fn device<C: DeviceContext>(dev: &Device<C>) -> *mut bindings::device {
    // `Device` is a transparent `Opaque`.
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// The `struct iommu_domain`.
pub fn domain(domain: &AnyDomain) -> *mut bindings::iommu_domain {
    // `AnyDomain` is a transparent `Opaque`.
    core::ptr::from_ref(domain).cast_mut().cast()
}
