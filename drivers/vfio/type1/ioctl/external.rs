// SPDX-License-Identifier: GPL-2.0

//! What drivers of emulated and mediated devices ask for: pages to do DMA to, and copies.

use crate::container::Type1;
use crate::error::eoverflow;
use crate::group::Group;
use crate::space::Access;
use crate::state::State;
use crate::sys::access::Buffer;
use crate::sys::ops::Pages;
use kernel::prelude::*;
use siov_types::{Iova, IovaRange, PAGE_SIZE};

/// The addresses of `count` pages from `iova` on; `None` past the last address.
fn pages_from(iova: u64, count: usize) -> Option<impl Iterator<Item = u64>> {
    let size = (count as u64).checked_mul(PAGE_SIZE)?;
    IovaRange::from_len(Iova::new(iova), size)?;
    let page = move |index| iova.wrapping_add(PAGE_SIZE.wrapping_mul(index));
    Some((0..count as u64).map(page))
}

impl Type1 {
    /// Pins `count` pages from `iova` on for a device of `group` and puts them into `out`.
    ///
    /// # Errors
    ///
    /// `EACCES` in a container of version 1, `EOVERFLOW`, `EBUSY` while process addresses are invalid,
    /// `EINVAL` where nothing is mapped or no device would be told of an unmapping, `EPERM` where less
    /// than `prot` is permitted, and those of pinning. Nothing is pinned then.
    pub(crate) fn pin(
        &self,
        group: &Group,
        iova: u64,
        count: usize,
        prot: i32,
        out: &mut Pages<'_>,
    ) -> Result {
        if !self.v2 {
            return Err(EACCES);
        }
        let pages = pages_from(iova, count).ok_or_else(eoverflow)?;
        let mut state = self.state.lock();
        self.check_addresses(&state)?;
        if state.devices == 0 {
            return Err(EINVAL);
        }
        let track = state.track();
        let access = Access::from_prot(prot);
        for (index, page) in pages.enumerate() {
            match state.space.pin(page, access, track) {
                Ok(pfn) => out.set(index, pfn),
                Err(failure) => {
                    for page in pages_from(iova, index).into_iter().flatten() {
                        state.space.unpin(page);
                    }
                    out.clear(index.saturating_add(1));
                    drop(state);
                    return Err(self.explain(failure));
                }
            }
        }
        state.note_pinning(group);
        Ok(())
    }

    /// Undoes [`Self::pin`].
    pub(crate) fn unpin(&self, iova: u64, count: i32) {
        let pages = usize::try_from(count)
            .ok()
            .and_then(|count| pages_from(iova, count));
        if kernel::warn_on!(!self.v2 || pages.is_none()) {
            return;
        }
        let mut state = self.state.lock();
        for page in pages.into_iter().flatten() {
            if kernel::warn_on!(!state.space.unpin(page)) {
                break;
            }
        }
    }

    /// Copies between `buffer` and the memory behind `iova`.
    ///
    /// # Errors
    ///
    /// `EBUSY` while process addresses are invalid, `EINVAL` where nothing is mapped, `EPERM` where it is
    /// not permitted or the process has exited, `EFAULT`.
    pub(crate) fn copy(&self, iova: u64, mut buffer: Buffer<'_>) -> Result {
        let mut state = self.state.lock();
        self.check_addresses(&state)?;
        let mut address = Iova::new(iova);
        while !buffer.is_empty() {
            let point = IovaRange::new(address, address).ok_or(EINVAL)?;
            let entry = state.space.overlapping(point).ok_or(EINVAL)?;
            let access = entry.access;
            if !access.reads() || (buffer.is_to_user() && !access.writes()) {
                return Err(EPERM);
            }
            let offset = address.raw().wrapping_sub(entry.range.first().raw());
            let rest = entry.size.saturating_sub(offset);
            let len = buffer.len().min(usize::try_from(rest)?);
            let mapping = state.space.at(address).ok_or(EINVAL)?;
            buffer.copy(mapping, mapping.vaddr().wrapping_add(offset as usize), len)?;
            if let (true, Some(shift)) = (buffer.is_to_user(), state.track()) {
                state.space.mark(address, len as u64, shift);
            }
            address = Iova::new(address.raw().wrapping_add(len as u64));
        }
        Ok(())
    }

    fn check_addresses(&self, state: &State) -> Result {
        if state.stale == 0 {
            return Ok(());
        }
        if self.complaints.allows() {
            pr_warn!("a driver asks for memory whose process address is being updated\n");
        }
        Err(EBUSY)
    }
}

impl State {
    /// A group that pins pages says what it writes to.
    fn note_pinning(&mut self, group: &Group) {
        let members = self
            .space
            .domains_mut()
            .iter_mut()
            .flat_map(|d| d.members_mut());
        for member in members.filter(|m| m.group() == group && !m.pins_what_it_dirties) {
            member.pins_what_it_dirties = true;
            self.silent_writers = self.silent_writers.wrapping_sub(1);
        }
    }
}
