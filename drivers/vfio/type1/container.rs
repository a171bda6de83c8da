// SPDX-License-Identifier: GPL-2.0

//! What VFIO calls.

use crate::group::Group;
use crate::state::State;
use crate::sys::access::Buffer;
use crate::sys::device::Devices;
use crate::sys::handle::Slot;
use crate::sys::ops::{Container, DomainPtr, GroupKind, Pages};
use kernel::ioctl::_IO;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;
use linux::ratelimit::RateLimit;

static CONTAINERS: Slot<Type1> = Slot::new();

const fn request(number: u32) -> u32 {
    _IO(b';' as u32, bindings::VFIO_BASE.wrapping_add(number))
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
    #[pin]
    pub(crate) devices: Devices,
    /// Processes can fail as often as they like.
    #[pin]
    pub(crate) complaints: RateLimit,
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
            // Mediated devices need addresses all the time.
            (bindings::VFIO_UPDATE_VADDR, Some(this)) => !this.state.lock().has_mediated(),
            (bindings::VFIO_DMA_CC_IOMMU, Some(this)) => this
                .state
                .lock()
                .space
                .domains()
                .iter()
                .all(|d| d.is_coherent()),
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

/// Writes a structure to `address` of the caller.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn write_user<const SIZE: usize>(address: usize, bytes: &[u8; SIZE]) -> Result {
    UserSlice::new(UserPtr::from_addr(address), SIZE)
        .writer()
        .write(bytes)
}

impl Container for Type1 {
    const NAME: &'static CStr = c"vfio-iommu-type1";

    fn slot() -> &'static Slot<Self> {
        &CONTAINERS
    }

    fn open(arg: usize) -> Result<Arc<Self>> {
        let v2 = match u32::try_from(arg) {
            Ok(bindings::VFIO_TYPE1_IOMMU) => false,
            // Nesting containers, which are no more, were of version 2.
            Ok(bindings::VFIO_TYPE1v2_IOMMU | bindings::__VFIO_RESERVED_TYPE1_NESTING_IOMMU) => {
                true
            }
            _ => return Err(EINVAL),
        };
        Arc::pin_init(
            pin_init!(Self {
                v2,
                state <- new_mutex!(State::new(), "vfio_iommu_type1 container"),
                devices <- Devices::new(),
                complaints <- RateLimit::new(5, 10, c"vfio_iommu_type1"),
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

    fn attach_group(&self, group: Group, kind: GroupKind) -> Result {
        self.attach(group, kind)
    }

    fn detach_group(&self, group: Group) {
        self.detach(&group);
    }

    fn pin_pages(
        &self,
        group: Group,
        iova: u64,
        count: usize,
        prot: i32,
        pages: &mut Pages<'_>,
    ) -> Result {
        self.pin(&group, iova, count, prot, pages)
    }

    fn unpin_pages(&self, iova: u64, count: i32) {
        self.unpin(iova, count);
    }

    fn devices(&self) -> &Devices {
        &self.devices
    }

    fn device_opened(&self) {
        let mut state = self.state.lock();
        state.devices = state.devices.wrapping_add(1);
    }

    fn device_closed(&self) {
        let mut state = self.state.lock();
        state.devices = state.devices.wrapping_sub(1);
    }

    fn dma_rw(&self, iova: u64, buffer: Buffer<'_>) -> Result {
        self.copy(iova, buffer)
    }

    fn domain_of(&self, group: Group) -> Option<DomainPtr> {
        let state = self.state.lock();
        let mut domains = state.space.domains().iter();
        let domain = domains.find(|d| d.members().iter().any(|m| *m.group() == group))?;
        Some(DomainPtr::of(domain))
    }
}
