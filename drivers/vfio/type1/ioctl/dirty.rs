// SPDX-License-Identifier: GPL-2.0

//! `VFIO_IOMMU_DIRTY_PAGES`: which pages devices may have written to.
//!
//! A page is dirty when a driver of an emulated device has it pinned or has copied to it. What
//! other devices write to is unknown, so with one of those in the container all that it can access
//! is dirty.

use crate::container::{read_user, Type1};
use crate::error::refused;
use crate::state::State;
use crate::sys::access::could_be_user_memory;
use crate::sys::ioas::AreaInfo;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use siov_type1::bitmap::{shifted, Placement};
use siov_type1::{request, uapi};
use siov_types::{Iova, IovaRange};

/// Words that are copied at once.
const CHUNK: usize = 32;

impl Type1 {
    /// Starts or stops tracking, or copies a bitmap.
    ///
    /// # Errors
    ///
    /// `EACCES` in a container of version 1, `EFAULT`, `EINVAL`, `EOVERFLOW`, `ENOMEM`.
    pub(crate) fn dirty_pages(&self, arg: usize) -> Result {
        if !self.v2 {
            return Err(EACCES);
        }
        let raw = uapi::Dirty::from_bytes(&read_user(arg)?);
        match request::Dirty::parse(&raw).map_err(refused)? {
            request::Dirty::Start => self.start_tracking(),
            request::Dirty::Stop => {
                let mut state = self.state.lock();
                state.tracking = false;
                state.space.untrack();
                Ok(())
            }
            request::Dirty::Get => {
                let at = arg.saturating_add(uapi::Dirty::SIZE);
                self.get_bitmap(&uapi::DirtyRange::from_bytes(&read_user(at)?))
            }
        }
    }

    fn start_tracking(&self) -> Result {
        let mut state = self.state.lock();
        if !state.tracking {
            let shift = state.shift();
            state.space.track(shift)?;
            state.tracking = true;
        }
        Ok(())
    }

    fn get_bitmap(&self, raw: &uapi::DirtyRange) -> Result {
        let range = request::dirty_range(raw).map_err(refused)?;
        let user = raw.bitmap();
        if !could_be_user_memory(user.data, user.size) {
            return Err(EINVAL);
        }
        request::check_bitmap(&user, raw.size).map_err(refused)?;
        let mut state = self.state.lock();
        request::check_dirty_alignment(raw, state.shift()).map_err(refused)?;
        if !state.tracking || state.bisects(range) {
            return Err(EINVAL);
        }
        let mut next = Some(range.first());
        while let Some(area) = next.and_then(|next| state.space.from(next)) {
            let iova = area.range.first();
            if iova > range.last() {
                break;
            }
            state.copy_bitmap_to_user(&area, user.data, range.first())?;
            let shift = state.shift();
            state.space.clear_dirty(iova, shift);
            next = area.range.last().checked_add(1);
        }
        Ok(())
    }
}

impl State {
    /// Copies the bitmap of a mapping to its place in the one that begins at `data` of the
    /// caller for the address `base`.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn copy_bitmap_to_user(&mut self, area: &AreaInfo, data: u64, base: Iova) -> Result {
        let shift = self.shift();
        let all_is_dirty = !self.non_pinning_groups.is_zero() && !self.space.domains().is_empty();
        let offset = area.range.first().checked_sub(base).ok_or(EINVAL)?;
        let size = area.size;
        let Some(mapping) = self.space.at_mut(area.range.first()) else {
            return Ok(());
        };
        if all_is_dirty {
            mapping.mark(0, size, shift);
        }
        let bits = size >> (shift & 63);
        let place = Placement::new(offset, shift);
        // An address beyond the last one of the process is for the kernel to refuse.
        let address = usize::try_from(data)?.saturating_add((place.word as usize) * 8);

        let mut head = 0u64;
        if place.shift != 0 {
            // The lower bits belong to the mapping before, and are there already.
            head = u64::from_ne_bytes(read_user(address)?);
        }
        let words = siov_type1::bitmap::words(bits.saturating_add(u64::from(place.shift)));
        let bytes = usize::try_from(words)?.saturating_mul(8);
        let mut out = UserSlice::new(UserPtr::from_addr(address), bytes).writer();
        let mut chunk = [0u8; CHUNK * 8];
        let mut filled = 0usize;
        for word in shifted(mapping.dirty(), bits, place.shift, head) {
            let end = filled + 8;
            if let Some(slot) = chunk.get_mut(filled..end) {
                slot.copy_from_slice(&word.to_ne_bytes());
            }
            filled = end;
            if filled == chunk.len() {
                out.write_slice(&chunk)?;
                filled = 0;
            }
        }
        out.write_slice(chunk.get(..filled).unwrap_or(&[]))
    }

    /// Whether `range` begins or ends inside of a mapping.
    pub(crate) fn bisects(&self, range: IovaRange) -> bool {
        let at = |address| self.space.overlapping(IovaRange::new(address, address)?);
        let begins_inside = at(range.first()).is_some_and(|e| e.range.first() != range.first());
        begins_inside || at(range.last()).is_some_and(|e| e.range.last() != range.last())
    }
}
