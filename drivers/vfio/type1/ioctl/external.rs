// SPDX-License-Identifier: GPL-2.0

//! What drivers of emulated and mediated devices ask for: pages to do DMA to, and copies.

use crate::container::Type1;
use crate::error::eoverflow;
use crate::state::State;
use crate::sys::access::Buffer;
use crate::sys::request::{PinRequest, Pinned, UnpinRequest};
use kernel::prelude::*;
use siov_type1::Prot;
use siov_types::{Iova, IovaRange};

impl Type1 {
    /// Pins the pages of `request`.
    ///
    /// # Errors
    ///
    /// `EACCES` in a container of version 1, `EOVERFLOW`, `EBUSY` while process addresses are
    /// invalid, `EINVAL` where nothing is mapped or no device would be notified of an unmapping,
    /// `EPERM` where less is permitted than the driver asks for, and those of pinning. Nothing is
    /// pinned then.
    pub(crate) fn pin<'call>(&self, request: PinRequest<'call>) -> Result<Pinned<'call>> {
        if !self.v2 {
            return Err(EACCES);
        }
        request.range().ok_or_else(eoverflow)?;
        let mut state = self.state.lock();
        self.check_addresses(&state)?;
        if state.devices.is_zero() {
            return Err(EINVAL);
        }
        let track = state.track();
        let group = request.group().clone();
        match state.space.pin(request, track) {
            Ok(pinned) => {
                // The group reports by pinning what it writes to.
                if state.space.set_pinning(&group) {
                    state.non_pinning_groups.dec();
                }
                Ok(pinned)
            }
            Err(failure) => {
                drop(state);
                Err(self.explain(failure))
            }
        }
    }

    /// Unpins the pages of `request`, which were pinned by [`Self::pin`].
    pub(crate) fn unpin(&self, request: UnpinRequest) {
        if kernel::warn_on!(!self.v2 || request.range().is_none()) {
            return;
        }
        let unpinned = self.state.lock().space.unpin(request);
        kernel::warn_on!(unpinned.is_err());
    }

    /// Copies between `buffer` and the memory behind `iova`, until nothing is left of the buffer.
    ///
    /// # Errors
    ///
    /// `EBUSY` while process addresses are invalid, `EINVAL` where nothing is mapped, `EPERM` where
    /// it is not permitted or the process has exited, `EFAULT`.
    pub(crate) fn copy(&self, mut iova: Iova, buffer: &mut Buffer<'_>) -> Result {
        let mut state = self.state.lock();
        self.check_addresses(&state)?;
        while !buffer.is_empty() {
            let point = IovaRange::new(iova, iova).ok_or(EINVAL)?;
            let area = state.space.overlapping(point).ok_or(EINVAL)?;
            let needed = Prot::new(true, buffer.is_to_user());
            if !area.prot.contains(needed) {
                return Err(EPERM);
            }
            let offset = iova.checked_sub(area.range.first()).ok_or(EINVAL)?;
            let rest = usize::try_from(area.size.saturating_sub(offset))?;
            let len = buffer.len().min(rest);
            let mapping = state.space.at(iova).ok_or(EINVAL)?;
            mapping.copy(offset, len, buffer)?;
            if let (true, Some(shift)) = (buffer.is_to_user(), state.track()) {
                state.space.mark(iova, len as u64, shift);
            }
            iova = match iova.checked_add(len as u64) {
                Some(next) => next,
                None if buffer.is_empty() => break,
                None => return Err(EINVAL),
            };
        }
        Ok(())
    }

    fn check_addresses(&self, state: &State) -> Result {
        if state.invalid_vaddrs.is_zero() {
            return Ok(());
        }
        if self.complaints.allows() {
            pr_warn!(
                "pinning and copying refused while a vaddr is invalid (VFIO_DMA_UNMAP_FLAG_VADDR)\n"
            );
        }
        Err(EBUSY)
    }
}
