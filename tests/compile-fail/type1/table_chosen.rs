// SPDX-License-Identifier: GPL-2.0

//! why: VFIO's devices are removed from where they were added: the driver does not choose where
//!     open containers are found.
//! against: drivers/vfio/type1/type1.rs
//! error: E0407
//! error: cannot find type `Slot`

#![forbid(unsafe_code)]

use crate::group::Group;
use crate::sys::access::Buffer;
use crate::sys::endpoint::NewGroup;
use crate::sys::ops::{Container, GroupKind, Opening};
use crate::sys::request::{PinRequest, Pinned, UnpinRequest};
use kernel::prelude::*;
use kernel::sync::Arc;
use siov_types::Iova;

struct Other;

impl Container for Other {
    const NAME: &'static CStr = c"other";

    // misuse {
    fn slot() -> &'static crate::sys::handle::Slot<Self> {
        loop {}
    }
    // }

    fn open(_: usize, _: Opening) -> Result<Arc<Self>> {
        Err(EINVAL)
    }

    fn ioctl(_: Option<&Self>, _: u32, _: usize) -> Result<isize> {
        Err(ENOTTY)
    }

    fn attach_group(&self, _: NewGroup<'_>, _: GroupKind) -> Result {
        Err(EINVAL)
    }

    fn detach_group(&self, _: Group) {}

    fn pin_pages<'call>(&self, _: PinRequest<'call>) -> Result<Pinned<'call>> {
        Err(EINVAL)
    }

    fn unpin_pages(&self, _: UnpinRequest) {}

    fn device_opened(&self) {}

    fn device_closed(&self) {}

    fn dma_rw(&self, _: Iova, _: &mut Buffer<'_>) -> Result {
        Err(EINVAL)
    }
}
