// SPDX-License-Identifier: GPL-2.0

//! The C structures and functions that this crate works with.

use kernel::device::Device;
use kernel::mm::Mm;
use linux::bindings;
use linux::iommu::{AnyDomain, Group};

// SAFETY: VFIO counts and locks its devices, and passes those that exist.
linux::c_objects!(unsafe {
    /// A device of VFIO's (`struct vfio_device`).
    pub(crate) struct VfioDevice(bindings::vfio_device);
});

// SAFETY: These take numbers, and decide what they are.
linux::c_functions!(unsafe {
    pub(crate) fn siov_vfio_access_ok(address: usize, size: usize) -> bool;
    pub(crate) fn siov_vfio_frame(pfn: usize) -> bindings::siov_vfio_frame;
    pub(crate) fn siov_vfio_cond_resched();
    pub(crate) fn capable(capability: i32) -> bool;
});

// SAFETY: These want a domain, which is there until it is detached, and a group, a device or an address space
// that exist. That the memory behind a domain is there to be used is the business of `Space`.
linux::c_functions!(unsafe {
    pub(crate) fn iommu_map(
        domain: &AnyDomain,
        iova: usize,
        phys: u64,
        len: usize,
        prot: i32,
        gfp: bindings::gfp_t,
    ) -> i32;
    pub(crate) fn iommu_unmap(domain: &AnyDomain, iova: usize, len: usize) -> usize;
    pub(crate) fn iommu_get_msi_cookie(domain: &AnyDomain, base: u64) -> i32;
    pub(crate) fn iommu_attach_group(domain: &AnyDomain, group: &Group) -> i32;
    pub(crate) fn iommu_detach_group(domain: &AnyDomain, group: &Group);
    pub(crate) fn device_iommu_capable(dev: &Device, cap: bindings::iommu_cap) -> bool;
    pub(crate) fn siov_vfio_device_pins(device: &VfioDevice) -> bool;
    pub(crate) fn siov_vfio_untagged_addr(mm: &Mm, address: usize) -> usize;
});
