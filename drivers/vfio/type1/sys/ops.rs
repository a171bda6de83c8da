// SPDX-License-Identifier: GPL-2.0

//! What VFIO asks of a driver of containers (`struct vfio_iommu_driver_ops`).
//!
//! C header: `drivers/vfio/vfio.h`

use super::access::{Buffer, BufferLen, BufferStart, ToUser};
use super::device::{Devices, VfioDevice};
use super::endpoint::{Attaching, NewGroup};
use super::handle::{Handle, Kind};
use super::ioas::IoasId;
use super::request::{PagesCount, PagesStart, PinRequest, Pinned, UnpinRequest, Unpinned};
use crate::group::Group;
use core::ffi::c_void;
use core::marker::PhantomData;
use kernel::error::from_result;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::Arc;
use linux::module::Reference;
use linux::ratelimit::RateLimit;
use linux::{bindings, iommu};
use siov_type1::Prot;
use siov_types::Iova;

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

/// What belongs to a container that is being opened.
pub(crate) struct Opening {
    /// For its address space: VFIO's requests name it.
    pub(crate) id: IoasId,
    /// Where VFIO's open devices will be whose drivers pin pages.
    pub(crate) devices: Arc<Devices>,
    /// How often the log says what processes have provoked.
    pub(crate) complaints: Arc<RateLimit>,
}

/// An open container. Calls come from several threads; VFIO serialises attaching and detaching
/// only.
pub(crate) trait Container: Send + Sync + Sized + 'static {
    /// The name of the driver.
    const NAME: &'static CStr;

    /// Opens a container of the kind `arg` (`VFIO_SET_IOMMU`).
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown kind, `ENOMEM`.
    fn open(arg: usize, opening: Opening) -> Result<Arc<Self>>;

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
    fn attach_group(&self, group: NewGroup<'_>, kind: GroupKind) -> Result;

    /// A group leaves.
    fn detach_group(&self, group: Group);

    /// Pins pages for a driver.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EACCES`, `EPERM`, `EOVERFLOW`, `EBUSY`, and those of pinning.
    fn pin_pages<'call>(&self, request: PinRequest<'call>) -> Result<Pinned<'call>>;

    /// Unpins what [`Self::pin_pages`] has pinned.
    fn unpin_pages(&self, request: UnpinRequest);

    /// A device whose driver pins pages was opened, and is among those of its [`Opening`].
    fn device_opened(&self);

    /// Such a device is closed, and no longer there.
    fn device_closed(&self);

    /// Copies to or from the memory behind `iova`, until nothing of `buffer` is left.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EPERM`, `EFAULT`, `EBUSY`.
    fn dma_rw(&self, iova: Iova, buffer: &mut Buffer<'_>) -> Result;
}

/// What VFIO calls.
struct Adapter<T>(PhantomData<T>);

/// The operations of a driver, which is code of `module`.
pub(super) fn operations<T: Container>(
    module: &'static ThisModule,
) -> bindings::vfio_iommu_driver_ops {
    bindings::vfio_iommu_driver_ops {
        name: T::NAME.as_char_ptr().cast_mut(),
        owner: module.as_ptr(),
        open: Some(Adapter::<T>::open_callback),
        release: Some(Adapter::<T>::release_callback),
        ioctl: Some(Adapter::<T>::ioctl_callback),
        attach_group: Some(Adapter::<T>::attach_group_callback),
        detach_group: Some(Adapter::<T>::detach_group_callback),
        pin_pages: Some(Adapter::<T>::pin_pages_callback),
        unpin_pages: Some(Adapter::<T>::unpin_pages_callback),
        register_device: Some(Adapter::<T>::register_device_callback),
        unregister_device: Some(Adapter::<T>::unregister_device_callback),
        dma_rw: Some(Adapter::<T>::dma_rw_callback),
        // VFIO has no caller for this, and a domain given away could not be freed any more.
        group_iommu_domain: None,
    }
}

impl<T: Container> Adapter<T> {
    linux::callbacks! {
        /// `vfio_iommu_driver_ops::open`.
        ///
        /// # Safety
        ///
        /// To be called by VFIO while the driver is registered.
        unsafe fn open_callback(kind: usize => Kind<'_, T>) -> *mut c_void = Self::open;

        /// `vfio_iommu_driver_ops::release`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`.
        unsafe fn release_callback(data: *mut c_void => Handle<'_, T>) = Self::release;

        /// `vfio_iommu_driver_ops::ioctl`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`.
        unsafe fn ioctl_callback(
            data: *mut c_void => Handle<'_, T>,
            cmd: u32 => u32,
            arg: usize => usize,
        ) -> isize = Self::ioctl;

        /// `vfio_iommu_driver_ops::attach_group`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`. VFIO passes a group that it has a reference to, and whose DMA it
        /// has claimed for user space; a device of the group has a driver of VFIO's until the
        /// function returns.
        unsafe fn attach_group_callback(
            data: *mut c_void => Handle<'_, T>,
            group: *mut bindings::iommu_group => Attaching<'_>,
            kind: bindings::vfio_group_type => bindings::vfio_group_type,
        ) -> i32 = Self::attach_group;

        /// `vfio_iommu_driver_ops::detach_group`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`. VFIO passes a group that it has a reference to.
        unsafe fn detach_group_callback(
            data: *mut c_void => Handle<'_, T>,
            group: *mut bindings::iommu_group => &iommu::Group,
        ) = Self::detach_group;

        /// `vfio_iommu_driver_ops::pin_pages`.
        ///
        /// # Safety
        ///
        /// As of `detach_group_callback`. VFIO passes an array of as many elements as it says,
        /// which is the function's until it returns.
        unsafe fn pin_pages_callback(
            data: *mut c_void => Handle<'_, T>,
            group: *mut bindings::iommu_group => &iommu::Group,
            iova: u64 => u64,
            count: i32 => PagesCount<'_>,
            prot: i32 => i32,
            pages: *mut *mut bindings::page => PagesStart<'_>,
        ) -> i32 = Self::pin_pages;

        /// `vfio_iommu_driver_ops::unpin_pages`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`. Drivers ask once for each page that they have pinned, and use it
        /// no longer then.
        unsafe fn unpin_pages_callback(
            data: *mut c_void => Handle<'_, T>,
            iova: u64 => u64,
            count: i32 => Unpinned,
        ) = Self::unpin_pages;

        /// `vfio_iommu_driver_ops::register_device`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`. VFIO passes a device that it opens for the first time or again,
        /// whose container stays until it is unregistered.
        unsafe fn register_device_callback(
            data: *mut c_void => Handle<'_, T>,
            device: *mut bindings::vfio_device => &VfioDevice,
        ) = Self::register_device;

        /// `vfio_iommu_driver_ops::unregister_device`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`. VFIO passes a device that it has registered with the same
        /// container.
        unsafe fn unregister_device_callback(
            data: *mut c_void => Handle<'_, T>,
            device: *mut bindings::vfio_device => &VfioDevice,
        ) = Self::unregister_device;

        /// `vfio_iommu_driver_ops::dma_rw`.
        ///
        /// # Safety
        ///
        /// As of `open_callback`. VFIO passes a buffer of as many bytes as it says, which is the
        /// function's until it returns, and initialised where it is for the process.
        unsafe fn dma_rw_callback(
            data: *mut c_void => Handle<'_, T>,
            iova: u64 => u64,
            buffer: *mut c_void => BufferStart<'_>,
            len: usize => BufferLen<'_>,
            write: bool => ToUser<'_>,
        ) -> i32 = Self::dma_rw;
    }

    fn open(kind: Kind<'_, T>) -> *mut c_void {
        kind.open().unwrap_or_else(|e| e.to_ptr())
    }

    fn release(handle: Handle<'_, T>) {
        handle.release();
    }

    fn ioctl(handle: Handle<'_, T>, cmd: u32, arg: usize) -> isize {
        let answer = match handle.find() {
            Some(opened) => T::ioctl(Some(opened.container()), cmd, arg),
            None => Self::ioctl_without(&handle, cmd, arg),
        };
        match answer {
            Ok(value) => value,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// Without a container, VFIO asks what the driver supports.
    #[cold]
    fn ioctl_without(handle: &Handle<'_, T>, cmd: u32, arg: usize) -> Result<isize> {
        if !handle.is_null() {
            // As VFIO answers for a container without a driver.
            return Err(EINVAL);
        }
        // A container that loses its last group has none either, nor a reference to the module.
        let _module = Reference::new().map_err(|_| EINVAL)?;
        T::ioctl(None, cmd, arg)
    }

    fn attach_group(
        handle: Handle<'_, T>,
        group: Attaching<'_>,
        kind: bindings::vfio_group_type,
    ) -> i32 {
        let kind = match kind {
            bindings::vfio_group_type_VFIO_IOMMU => GroupKind::Iommu,
            bindings::vfio_group_type_VFIO_EMULATED_IOMMU => GroupKind::Emulated,
            _ => GroupKind::NoIommu,
        };
        from_result(|| {
            let opened = handle.find().ok_or(EINVAL)?;
            let (container, groups) = (opened.container(), opened.groups());
            groups.reserve()?;
            container.attach_group(group.group(), kind)?;
            // Devices of the group are opened after this, and closed before it is detached.
            let new: Group = group.group().get();
            let added = group.publish().map_or(Ok(()), |domain| groups.add(domain));
            added.inspect_err(|_| container.detach_group(new))?;
            Ok(0)
        })
    }

    fn detach_group(handle: Handle<'_, T>, group: &iommu::Group) {
        if let Some(opened) = handle.find() {
            opened.groups().remove(group);
            opened.container().detach_group(group.into());
        }
    }

    fn pin_pages<'call>(
        handle: Handle<'_, T>,
        group: &iommu::Group,
        iova: u64,
        count: PagesCount<'call>,
        prot: i32,
        pages: PagesStart<'call>,
    ) -> i32 {
        from_result(|| {
            let opened = handle.find().ok_or(EINVAL)?;
            let prot = Prot::from_raw(prot as u32);
            let iova = Iova::new(iova);
            let request = PinRequest::new(&handle, group.into(), iova, prot, pages, count)?;
            Ok(opened.container().pin_pages(request)?.count())
        })
    }

    fn unpin_pages(handle: Handle<'_, T>, iova: u64, count: Unpinned) {
        if let Some(opened) = handle.find() {
            let request = UnpinRequest::new(&handle, Iova::new(iova), count);
            opened.container().unpin_pages(request);
        }
    }

    fn register_device(handle: Handle<'_, T>, device: &VfioDevice) {
        if let Some(opened) = handle.find().filter(|_| device.pins()) {
            // SAFETY: VFIO registers a device that it opens, once, and unregisters it before it is
            // freed and before it releases the container.
            unsafe { opened.devices().add(device) };
            opened.container().device_opened();
        }
    }

    fn unregister_device(handle: Handle<'_, T>, device: &VfioDevice) {
        if let Some(opened) = handle.find().filter(|_| device.pins()) {
            // SAFETY: VFIO has registered the device with this container.
            unsafe { opened.devices().remove(device) };
            opened.container().device_closed();
        }
    }

    fn dma_rw<'call>(
        handle: Handle<'_, T>,
        iova: u64,
        start: BufferStart<'call>,
        len: BufferLen<'call>,
        to_user: ToUser<'call>,
    ) -> i32 {
        from_result(|| {
            let opened = handle.find().ok_or(EINVAL)?;
            let mut buffer = Buffer::new(start, len, to_user);
            opened.container().dma_rw(Iova::new(iova), &mut buffer)?;
            // Drivers take what they have read for initialised.
            if buffer.is_empty() {
                Ok(0)
            } else {
                Err(EFAULT)
            }
        })
    }
}
