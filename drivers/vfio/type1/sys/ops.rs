// SPDX-License-Identifier: GPL-2.0

//! Registration with VFIO as a driver of containers (`struct vfio_iommu_driver_ops`).

use crate::group::domain::Domain;
use crate::group::Group;
use crate::sys::access::{Buffer, BufferLen, BufferStart, ToUser};
use crate::sys::device::{Devices, VfioDevice};
use crate::sys::handle::{Handle, Open, Slot};
use core::ffi::c_void;
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::abi::{callback1, callback2, callback3, callback5, callback6, Object};
use linux::{bindings, iommu};

/// What kind of devices a group has (`enum vfio_group_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    /// Behind an IOMMU.
    Iommu,
    /// Emulated: their drivers do DMA for them.
    Emulated,
    /// Neither, which no driver of containers gets to see.
    NoIommu,
}

// SAFETY: VFIO passes an array of as many elements as it says, ours until the function returns.
linux::c_arguments!(unsafe {
    /// Where [`Pages`] begin.
    struct PagesStart<'a>(*mut *mut bindings::page, PhantomData<&'a mut [u64]>): *mut *mut bindings::page;
    /// How many there are.
    struct PagesCount(i32): i32;
});

/// Where the pages go that a driver has pinned.
pub(crate) struct Pages<'a>(&'a mut [*mut bindings::page]);

impl<'a> Pages<'a> {
    /// Of the arguments of one call.
    fn new(start: PagesStart<'a>, count: &PagesCount) -> Result<Self> {
        let len = usize::try_from(count.0).map_err(|_| EINVAL)?;
        if start.0.is_null() || len == 0 {
            return Err(EINVAL);
        }
        // SAFETY: So many elements are ours.
        Ok(Self(unsafe {
            core::slice::from_raw_parts_mut(start.0, len)
        }))
    }

    /// Sets an element to the page of a frame that has a page structure.
    pub(crate) fn set(&mut self, index: usize, pfn: u64) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = crate::sys::pin::page_of(pfn);
        }
    }

    /// Clears the first `count` elements.
    pub(crate) fn clear(&mut self, count: usize) {
        for slot in self.0.iter_mut().take(count) {
            *slot = core::ptr::null_mut();
        }
    }
}

/// The domain of a group, for C code.
pub(crate) struct DomainPtr(*mut bindings::iommu_domain);

impl DomainPtr {
    /// Of a domain, which stays as long as it has the group.
    pub(crate) fn of(domain: &Domain) -> Self {
        Self(domain.table().domain().as_raw())
    }
}

/// An open container. Calls come from several threads; VFIO serialises attaching and detaching only.
pub(crate) trait Container: Send + Sync + Sized + 'static {
    /// The name of the driver.
    const NAME: &'static CStr;

    /// Where the open containers are: a `static` of the driver.
    fn slot() -> &'static Slot<Self>;

    /// Opens a container of the kind `arg` (`VFIO_SET_IOMMU`).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a kind that there is not, `ENOMEM`.
    fn open(arg: usize) -> Result<Arc<Self>>;

    /// A request of user space; `None` for one before there is a container.
    ///
    /// # Errors
    ///
    /// As of `include/uapi/linux/vfio.h`.
    fn ioctl(container: Option<&Self>, cmd: u32, arg: usize) -> Result<isize>;

    /// A group joins.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EBUSY`, `EPERM`, and those of the IOMMU driver.
    fn attach_group(&self, group: Group, kind: GroupKind) -> Result;

    /// A group leaves.
    fn detach_group(&self, group: Group);

    /// Pins `count` pages from `iova` on for a device of `group`.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EACCES`, `EPERM`, `EOVERFLOW`, `EBUSY`, and those of pinning.
    fn pin_pages(
        &self,
        group: Group,
        iova: u64,
        count: usize,
        prot: i32,
        pages: &mut Pages<'_>,
    ) -> Result;

    /// Undoes [`Self::pin_pages`].
    fn unpin_pages(&self, iova: u64, count: i32);

    /// Where the open devices are whose drivers pin pages.
    fn devices(&self) -> &Devices;

    /// Such a device was opened, and is among [`Self::devices`].
    fn device_opened(&self);

    /// Such a device is closed, and no longer there.
    fn device_closed(&self);

    /// Copies to or from the memory behind `iova`.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EPERM`, `EFAULT`, `EBUSY`.
    fn dma_rw(&self, iova: u64, buffer: Buffer<'_>) -> Result;

    /// The domain of a group.
    fn domain_of(&self, group: Group) -> Option<DomainPtr>;
}

// SAFETY: Only used to unregister.
linux::c_objects!(unsafe {
    struct Operations(bindings::vfio_iommu_driver_ops);
});

/// A driver registered with VFIO.
///
/// VFIO takes a reference to the module for every container.
pub(crate) struct Registration<T: Container> {
    operations: KBox<Operations>,
    _open: Open<T>,
}

impl<T: Container> Registration<T> {
    /// Registers the driver, which is code of `module`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let operations = bindings::vfio_iommu_driver_ops {
            name: T::NAME.as_char_ptr().cast_mut(),
            owner: module.as_ptr(),
            open: Some(open::<T>),
            release: Some(callback1(release::<T>)),
            ioctl: Some(callback3(ioctl::<T>)),
            attach_group: Some(callback3(attach_group::<T>)),
            detach_group: Some(callback2(detach_group::<T>)),
            pin_pages: Some(callback6(pin_pages::<T>)),
            unpin_pages: Some(callback3(unpin_pages::<T>)),
            register_device: Some(callback2(register_device::<T>)),
            unregister_device: Some(callback2(unregister_device::<T>)),
            dma_rw: Some(callback5(dma_rw::<T>)),
            group_iommu_domain: Some(callback2(group_iommu_domain::<T>)),
        };
        let operations = KBox::new(Operations(Opaque::new(operations)), GFP_KERNEL)?;
        let open = Open::new()?;
        // SAFETY: The operations live until they are unregistered.
        to_result(unsafe { bindings::vfio_register_iommu_driver(operations.as_raw()) })?;
        Ok(Self {
            operations,
            _open: open,
        })
    }
}

impl<T: Container> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::vfio_unregister_iommu_driver(self.operations.as_raw()) };
    }
}

// What VFIO calls: with what `open` returned, and groups and devices that exist. All but requests of user
// space come before the container is released.

extern "C" fn open<T: Container>(arg: usize) -> *mut c_void {
    match T::open(arg).and_then(|container| T::slot().add(container)) {
        Ok(handle) => handle.into_raw(),
        Err(e) => e.to_ptr(),
    }
}

extern "C" fn release<T: Container>(handle: Handle) {
    drop(T::slot().remove(&handle));
}

/// Without a container, VFIO asks what the driver supports.
extern "C" fn ioctl<T: Container>(handle: Handle, cmd: u32, arg: usize) -> isize {
    let container = T::slot().find(&handle);
    if container.is_none() && !handle.is_null() {
        // As VFIO answers for a container without a driver.
        return EINVAL.to_errno() as isize;
    }
    match T::ioctl(container.as_deref(), cmd, arg) {
        Ok(value) => value,
        Err(e) => e.to_errno() as isize,
    }
}

extern "C" fn attach_group<T: Container>(
    handle: Handle,
    group: &iommu::Group,
    kind: bindings::vfio_group_type,
) -> i32 {
    let kind = match kind {
        bindings::vfio_group_type_VFIO_IOMMU => GroupKind::Iommu,
        bindings::vfio_group_type_VFIO_EMULATED_IOMMU => GroupKind::Emulated,
        _ => GroupKind::NoIommu,
    };
    from_result(|| {
        let container = T::slot().find(&handle).ok_or(EINVAL)?;
        container.attach_group(group.into(), kind)?;
        Ok(0)
    })
}

extern "C" fn detach_group<T: Container>(handle: Handle, group: &iommu::Group) {
    if let Some(container) = T::slot().find(&handle) {
        container.detach_group(group.into());
    }
}

extern "C" fn pin_pages<T: Container>(
    handle: Handle,
    group: &iommu::Group,
    iova: u64,
    count: PagesCount,
    prot: i32,
    pages: PagesStart<'_>,
) -> i32 {
    from_result(|| {
        let container = T::slot().find(&handle).ok_or(EINVAL)?;
        let mut pages = Pages::new(pages, &count)?;
        let len = pages.0.len();
        container.pin_pages(group.into(), iova, len, prot, &mut pages)?;
        Ok(count.0)
    })
}

extern "C" fn unpin_pages<T: Container>(handle: Handle, iova: u64, count: i32) {
    if let Some(container) = T::slot().find(&handle) {
        container.unpin_pages(iova, count);
    }
}

extern "C" fn register_device<T: Container>(handle: Handle, device: &VfioDevice) {
    let container = T::slot().find(&handle).filter(|_| device.pins());
    if let Some(container) = container {
        // SAFETY: VFIO registers a device that it opens, once, and unregisters it before it goes.
        unsafe { container.devices().add(device) };
        container.device_opened();
    }
}

extern "C" fn unregister_device<T: Container>(handle: Handle, device: &VfioDevice) {
    let container = T::slot().find(&handle).filter(|_| device.pins());
    if let Some(container) = container {
        // SAFETY: VFIO has registered the device with this container.
        unsafe { container.devices().remove(device) };
        container.device_closed();
    }
}

extern "C" fn dma_rw<T: Container>(
    handle: Handle,
    iova: u64,
    buffer: BufferStart<'_>,
    len: BufferLen,
    write: ToUser,
) -> i32 {
    from_result(|| {
        let container = T::slot().find(&handle).ok_or(EINVAL)?;
        container.dma_rw(iova, Buffer::new(buffer, len, write))?;
        Ok(0)
    })
}

extern "C" fn group_iommu_domain<T: Container>(
    handle: Handle,
    group: &iommu::Group,
) -> *mut bindings::iommu_domain {
    let container = T::slot().find(&handle);
    match container.and_then(|container| container.domain_of(group.into())) {
        Some(domain) => domain.0,
        None => ENODEV.to_ptr(),
    }
}
