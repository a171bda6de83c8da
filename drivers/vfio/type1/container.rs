// SPDX-License-Identifier: GPL-2.0

//! What VFIO calls.
//!
//! Lock order: [`Type1::devices`], then [`Type1::state`]. A driver that is notified of an unmapping
//! runs with the former held, and takes the latter to unpin. Inside of both: the mmap lock of a
//! process, then the lock of what is revoked when the process changes it ([`crate::sys`]).

use crate::group::Group;
use crate::state::State;
use crate::sys::access::Buffer;
use crate::sys::device::Devices;
use crate::sys::endpoint::NewGroup;
use crate::sys::ops::{Container, GroupKind, Opening};
use crate::sys::request::{PinRequest, Pinned, UnpinRequest};
use kernel::ioctl::_IO;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;
use linux::ratelimit::RateLimit;
use siov_types::Iova;

const fn request(number: u32) -> u32 {
    _IO(b';' as u32, bindings::VFIO_BASE + number)
}

const CHECK_EXTENSION: u32 = request(1);
const GET_INFO: u32 = request(12);
const MAP_DMA: u32 = request(13);
const UNMAP_DMA: u32 = request(14);
const DIRTY_PAGES: u32 = request(17);

/// A container.
#[pin_data]
pub(crate) struct Type1 {
    /// Type1v2: a mapping can only be unmapped as a whole, and memory can be pinned and tracked.
    pub(crate) v2: bool,
    #[pin]
    pub(crate) state: Mutex<State>,
    /// Open devices whose drivers pin pages.
    pub(crate) devices: Arc<Devices>,
    /// Processes can fail as often as they like.
    pub(crate) complaints: Arc<RateLimit>,
}

impl Type1 {
    fn check_extension(this: Option<&Self>, extension: usize) -> bool {
        let Ok(extension) = u32::try_from(extension) else {
            return false;
        };
        match (extension, this) {
            (
                bindings::VFIO_TYPE1_IOMMU
                | bindings::VFIO_TYPE1v2_IOMMU
                | bindings::VFIO_UNMAP_ALL,
                _,
            ) => true,
            // Mediated devices need process addresses all the time.
            (bindings::VFIO_UPDATE_VADDR, Some(this)) => !this.state.lock().has_mediated(),
            (bindings::VFIO_DMA_CC_IOMMU, Some(this)) => {
                let state = this.state.lock();
                state.space.domains().iter().all(|d| d.is_coherent())
            }
            _ => false,
        }
    }
}

/// The structure of `SIZE` bytes at `address` of the caller.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn read_user<const SIZE: usize>(address: usize) -> Result<[u8; SIZE]> {
    UserSlice::new(UserPtr::from_addr(address), SIZE)
        .reader()
        .read()
}

/// Writes `bytes` to `address` of the caller.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn write_user(address: usize, bytes: &[u8]) -> Result {
    UserSlice::new(UserPtr::from_addr(address), bytes.len())
        .writer()
        .write_slice(bytes)
}

impl Container for Type1 {
    const NAME: &'static CStr = c"vfio-iommu-type1";

    fn open(arg: usize, opening: Opening) -> Result<Arc<Self>> {
        let v2 = match u32::try_from(arg) {
            Ok(bindings::VFIO_TYPE1_IOMMU) => false,
            // Nesting containers, which are no more, were of version 2.
            Ok(bindings::VFIO_TYPE1v2_IOMMU | bindings::__VFIO_RESERVED_TYPE1_NESTING_IOMMU) => {
                true
            }
            _ => return Err(EINVAL),
        };
        let Opening {
            id,
            devices,
            complaints,
        } = opening;
        Arc::pin_init(
            pin_init!(Self {
                v2,
                state <- new_mutex!(State::new(id), "vfio_iommu_type1 container"),
                devices,
                complaints,
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(container: Option<&Self>, cmd: u32, arg: usize) -> Result<isize> {
        match (cmd, container) {
            (CHECK_EXTENSION, _) => Ok(isize::from(Self::check_extension(container, arg))),
            (GET_INFO, Some(this)) => this.get_info(arg).map(|()| 0),
            (MAP_DMA, Some(this)) => this.map_dma(arg).map(|()| 0),
            (UNMAP_DMA, Some(this)) => this.unmap_dma(arg).map(|()| 0),
            (DIRTY_PAGES, Some(this)) => this.dirty_pages(arg).map(|()| 0),
            _ => Err(ENOTTY),
        }
    }

    fn attach_group(&self, group: NewGroup<'_>, kind: GroupKind) -> Result {
        self.attach(group, kind)
    }

    fn detach_group(&self, group: Group) {
        self.detach(&group);
    }

    fn pin_pages<'call>(&self, request: PinRequest<'call>) -> Result<Pinned<'call>> {
        self.pin(request)
    }

    fn unpin_pages(&self, request: UnpinRequest) {
        self.unpin(request);
    }

    fn device_opened(&self) {
        self.state.lock().devices.inc();
    }

    fn device_closed(&self) {
        self.state.lock().devices.dec();
    }

    fn dma_rw(&self, iova: Iova, buffer: &mut Buffer<'_>) -> Result {
        self.copy(iova, buffer)
    }
}
