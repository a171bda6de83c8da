// SPDX-License-Identifier: GPL-2.0

//! Registration with VFIO as a driver of containers (`struct vfio_iommu_driver_ops`).

use crate::access::Buffer;
use crate::domain::Domain;
use crate::group::Group;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::types::{ForeignOwnable, Opaque};
use linux::bindings;

/// What kind of devices a group has (`enum vfio_group_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Behind an IOMMU.
    Iommu,
    /// Emulated: their drivers do DMA for them.
    Emulated,
    /// Neither, which no driver of containers gets to see.
    NoIommu,
}

/// A device that VFIO has opened.
pub struct DeviceRef(NonNull<bindings::vfio_device>);

impl DeviceRef {
    pub(crate) fn as_ptr(&self) -> *mut bindings::vfio_device {
        self.0.as_ptr()
    }

    /// Whether its driver pins pages and has to be told before they go.
    pub fn pins(&self) -> bool {
        // SAFETY: VFIO passes valid devices.
        unsafe { bindings::siov_vfio_device_pins(self.as_ptr()) }
    }
}

/// Where the pages go that a driver has pinned.
pub struct Pages<'a>(&'a mut [*mut bindings::page]);

impl Pages<'_> {
    /// Sets an element to the page of a frame that has a page structure.
    pub fn set(&mut self, index: usize, pfn: u64) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = crate::pin::page_of(pfn);
        }
    }

    /// Clears the first `count` elements.
    pub fn clear(&mut self, count: usize) {
        for slot in self.0.iter_mut().take(count) {
            *slot = core::ptr::null_mut();
        }
    }
}

/// The domain of a group, for C code.
pub struct DomainPtr(NonNull<bindings::iommu_domain>);

impl DomainPtr {
    /// Of a domain, which stays as long as it has the group.
    pub fn of(domain: &Domain) -> Option<Self> {
        domain.as_ptr().map(Self)
    }
}

/// An open container. Calls come from several threads; VFIO serialises attaching and detaching only.
pub trait Container: Send + Sync + Sized + 'static {
    /// The name of the driver.
    const NAME: &'static CStr;

    /// Opens a container of the kind `arg` (`VFIO_SET_IOMMU`).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a kind that there is not, `ENOMEM`.
    fn open(arg: usize) -> Result<Pin<KBox<Self>>>;

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

    /// A device was opened.
    fn register_device(&self, device: DeviceRef);

    /// A device is closed.
    fn unregister_device(&self, device: DeviceRef);

    /// Copies to or from the memory behind `iova`.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EPERM`, `EFAULT`, `EBUSY`.
    fn dma_rw(&self, iova: u64, buffer: Buffer<'_>) -> Result;

    /// The domain of a group.
    fn domain_of(&self, group: Group) -> Option<DomainPtr>;
}

/// A driver registered with VFIO.
///
/// VFIO takes a reference to the module for every container.
pub struct Registration<T: Container> {
    ops: KBox<Opaque<bindings::vfio_iommu_driver_ops>>,
    _container: PhantomData<T>,
}

// SAFETY: Only used to unregister.
unsafe impl<T: Container> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Container> Sync for Registration<T> {}

impl<T: Container> Registration<T> {
    /// Registers the driver, which is code of `module`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(module: &'static ThisModule) -> Result<Self> {
        let ops = KBox::new(
            Opaque::new(bindings::vfio_iommu_driver_ops {
                name: T::NAME.as_char_ptr().cast_mut(),
                owner: module.as_ptr(),
                open: Some(open::<T>),
                release: Some(release::<T>),
                ioctl: Some(ioctl::<T>),
                attach_group: Some(attach_group::<T>),
                detach_group: Some(detach_group::<T>),
                pin_pages: Some(pin_pages::<T>),
                unpin_pages: Some(unpin_pages::<T>),
                register_device: Some(register_device::<T>),
                unregister_device: Some(unregister_device::<T>),
                dma_rw: Some(dma_rw::<T>),
                group_iommu_domain: Some(group_iommu_domain::<T>),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The operations live until they are unregistered.
        to_result(unsafe { bindings::vfio_register_iommu_driver(ops.get()) })?;
        Ok(Self {
            ops,
            _container: PhantomData,
        })
    }
}

impl<T: Container> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::vfio_unregister_iommu_driver(self.ops.get()) };
    }
}

/// The container behind the pointer that VFIO keeps.
///
/// # Safety
///
/// `data` is null or comes from [`open`], and has not been released.
unsafe fn borrow<'a, T: Container>(data: *mut c_void) -> Option<&'a T> {
    if data.is_null() {
        return None;
    }
    // SAFETY: As required of us.
    let pinned = unsafe { <Pin<KBox<T>> as ForeignOwnable>::borrow(data) };
    Some(pinned.get_ref())
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn open<T: Container>(arg: usize) -> *mut c_void {
    match T::open(arg) {
        Ok(container) => container.into_foreign(),
        Err(e) => e.to_ptr(),
    }
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn release<T: Container>(data: *mut c_void) {
    // SAFETY: VFIO passes what `open` returned, for the last time.
    drop(unsafe { <Pin<KBox<T>> as ForeignOwnable>::from_foreign(data) });
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn ioctl<T: Container>(data: *mut c_void, cmd: u32, arg: usize) -> isize {
    // SAFETY: VFIO passes what `open` returned, or null.
    match T::ioctl(unsafe { borrow(data) }, cmd, arg) {
        Ok(value) => value,
        Err(e) => e.to_errno() as isize,
    }
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn attach_group<T: Container>(
    data: *mut c_void,
    group: *mut bindings::iommu_group,
    kind: bindings::vfio_group_type,
) -> i32 {
    let kind = match kind {
        bindings::vfio_group_type_VFIO_IOMMU => GroupKind::Iommu,
        bindings::vfio_group_type_VFIO_EMULATED_IOMMU => GroupKind::Emulated,
        _ => GroupKind::NoIommu,
    };
    from_result(|| {
        // SAFETY: VFIO passes what `open` returned, and a valid group.
        let (container, group) = unsafe { (borrow::<T>(data), Group::from_raw(group)) };
        let (Some(container), Some(group)) = (container, group) else {
            return Err(EINVAL);
        };
        container.attach_group(group, kind)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn detach_group<T: Container>(
    data: *mut c_void,
    group: *mut bindings::iommu_group,
) {
    // SAFETY: As for `attach_group`.
    let (container, group) = unsafe { (borrow::<T>(data), Group::from_raw(group)) };
    if let (Some(container), Some(group)) = (container, group) {
        container.detach_group(group);
    }
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn pin_pages<T: Container>(
    data: *mut c_void,
    group: *mut bindings::iommu_group,
    iova: u64,
    count: i32,
    prot: i32,
    pages: *mut *mut bindings::page,
) -> i32 {
    from_result(|| {
        // SAFETY: As for `attach_group`.
        let (container, group) = unsafe { (borrow::<T>(data), Group::from_raw(group)) };
        let (Some(container), Some(group)) = (container, group) else {
            return Err(EINVAL);
        };
        let len = usize::try_from(count).map_err(|_| EINVAL)?;
        if pages.is_null() || len == 0 {
            return Err(EINVAL);
        }
        // SAFETY: VFIO passes an array of `count` elements.
        let slots = unsafe { core::slice::from_raw_parts_mut(pages, len) };
        container.pin_pages(group, iova, len, prot, &mut Pages(slots))?;
        Ok(count)
    })
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn unpin_pages<T: Container>(data: *mut c_void, iova: u64, count: i32) {
    // SAFETY: VFIO passes what `open` returned.
    if let Some(container) = unsafe { borrow::<T>(data) } {
        container.unpin_pages(iova, count);
    }
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn register_device<T: Container>(
    data: *mut c_void,
    device: *mut bindings::vfio_device,
) {
    // SAFETY: VFIO passes what `open` returned.
    if let (Some(container), Some(device)) = (unsafe { borrow::<T>(data) }, NonNull::new(device)) {
        container.register_device(DeviceRef(device));
    }
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn unregister_device<T: Container>(
    data: *mut c_void,
    device: *mut bindings::vfio_device,
) {
    // SAFETY: VFIO passes what `open` returned.
    if let (Some(container), Some(device)) = (unsafe { borrow::<T>(data) }, NonNull::new(device)) {
        container.unregister_device(DeviceRef(device));
    }
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn dma_rw<T: Container>(
    data: *mut c_void,
    iova: u64,
    buffer: *mut c_void,
    len: usize,
    write: bool,
) -> i32 {
    from_result(|| {
        // SAFETY: VFIO passes what `open` returned.
        let container = unsafe { borrow::<T>(data) }.ok_or(EINVAL)?;
        // SAFETY: VFIO passes a buffer of `len` bytes, with data to be written.
        container.dma_rw(iova, unsafe { Buffer::new(buffer.cast(), len, write) })?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by VFIO, with what it promises in `struct vfio_iommu_driver_ops`: `data` is what `open` returned.
unsafe extern "C" fn group_iommu_domain<T: Container>(
    data: *mut c_void,
    group: *mut bindings::iommu_group,
) -> *mut bindings::iommu_domain {
    // SAFETY: As for `attach_group`.
    let (container, group) = unsafe { (borrow::<T>(data), Group::from_raw(group)) };
    let (Some(container), Some(group)) = (container, group) else {
        return EINVAL.to_ptr();
    };
    match container.domain_of(group) {
        Some(domain) => domain.0.as_ptr(),
        None => ENODEV.to_ptr(),
    }
}
