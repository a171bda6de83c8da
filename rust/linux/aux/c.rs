// SPDX-License-Identifier: GPL-2.0

//! The C functions called here.

use kernel::device::{Bound, Device};
use linux::iommu::AnyDomain;

// SAFETY: These want a domain, which is there until it is detached, and a device that exists; the first two
// one whose driver stays bound. What is not enabled, or not attached, they refuse to disable or detach.
linux::c_functions!(unsafe {
    pub(crate) fn iommu_aux_capable(dev: &Device<Bound>) -> bool;
    pub(crate) fn iommu_enable_aux_domain(dev: &Device<Bound>) -> i32;
    pub(crate) fn iommu_disable_aux_domain(dev: &Device) -> i32;
    pub(crate) fn iommu_auxiliary_id(domain: &AnyDomain) -> i32;
    pub(crate) fn iommu_aux_attach_device(domain: &AnyDomain, dev: &Device) -> i32;
    pub(crate) fn iommu_aux_detach_device(domain: &AnyDomain, dev: &Device);
});
