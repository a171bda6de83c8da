// SPDX-License-Identifier: GPL-2.0

//! `VFIO_IOMMU_UNMAP_DMA`.

use crate::container::{read_user, write_user, Type1};
use crate::error::refused;
use crate::space::mapping::Mapping;
use crate::state::State;
use crate::sys::access::could_be_user_memory;
use core::ops::ControlFlow;
use kernel::prelude::*;
use siov_type1::{request, uapi};
use siov_types::{Iova, IovaRange};

/// How often a driver is notified until it is given up: once does, but the C driver is as patient
/// with one that does not listen.
const NOTIFICATIONS: usize = 11;

impl Type1 {
    /// Unmaps what lies in a range, and writes how much that was.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `EINVAL`, `EOVERFLOW`, `EBUSY` when addresses are to be invalidated in a container
    /// with mediated devices, or a driver keeps pages pinned.
    pub(crate) fn unmap_dma(&self, arg: usize) -> Result {
        let mut raw = uapi::Unmap::from_bytes(&read_user(arg)?);
        let mut bitmap = None;
        if request::unmap_has_bitmap(&raw).map_err(refused)? {
            let user = uapi::Bitmap::from_bytes(&read_user(arg.saturating_add(uapi::Unmap::SIZE))?);
            if !could_be_user_memory(user.data, user.size) {
                return Err(EINVAL);
            }
            request::check_bitmap(&user, raw.size).map_err(refused)?;
            bitmap = Some(user);
        }
        raw.size = self.unmap(&raw, bitmap)?;
        write_user(arg, &raw.to_bytes())
    }

    fn unmap(&self, raw: &uapi::Unmap, bitmap: Option<uapi::Bitmap>) -> Result<u64> {
        let mut state = self.state.lock();
        let invalidate = raw.flags & uapi::UNMAP_VADDR != 0;
        if invalidate && state.has_mediated() {
            return Err(EBUSY);
        }
        let range = request::unmap_range(raw, state.shift()).map_err(refused)?;
        if let Some(bitmap) = &bitmap {
            if !state.tracking || bitmap.pgsize != 1u64 << state.shift() {
                return Err(EINVAL);
            }
        }

        if bitmap.is_none() && !invalidate {
            // What most programs do: unmap what they have mapped.
            if let Some((area, mapping)) = state.space.remove_exact(range) {
                state.note_removed(&mapping);
                return Ok(area.size);
            }
        }

        let whole = self.v2 && raw.flags & uapi::UNMAP_ALL == 0;
        let mut unmapped = 0u64;
        loop {
            if whole && state.bisects(range) {
                return Err(EINVAL);
            }
            let Some(first) = self.first(&state, range) else {
                return Ok(unmapped);
            };
            if invalidate {
                return invalidate_vaddr(&mut state, first, range.last());
            }
            let Some(pinned) = remove(&mut state, first, range, bitmap.as_ref(), &mut unmapped)?
            else {
                return Ok(unmapped);
            };
            // Unpinning takes the container's lock, inside of that of the devices.
            drop(state);
            self.unpin_all(pinned)?;
            state = self.state.lock();
        }
    }

    /// Has drivers unpin what they have pinned of the mapping at `iova`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when one does not.
    fn unpin_all(&self, iova: Iova) -> Result {
        let devices = self.devices.lock();
        // Nothing more is pinned of it from here on.
        let Some(size) = self.state.lock().space.begin_unpinning(iova) else {
            return Ok(());
        };
        for _ in 0..NOTIFICATIONS {
            devices.dma_unmap(iova, size);
            if !self.state.lock().space.has_pins(iova) {
                break;
            }
        }
        if !self.state.lock().space.end_unpinning(iova) {
            return Ok(());
        }
        if self.complaints.allows() {
            pr_err!(
                "pages at IOVA {:#x} still pinned after dma_unmap notification\n",
                iova.raw()
            );
        }
        Err(EBUSY)
    }

    /// The first mapping to unmap.
    ///
    /// Version 1 never splits mappings either, but does not refuse to: a range that begins inside
    /// of a mapping unmaps nothing, one that begins with it unmaps all of it.
    fn first(&self, state: &State, range: IovaRange) -> Option<Iova> {
        let first = state.space.from(range.first())?.range;
        let is_whole = self.v2 || first.first() >= range.first();
        (is_whole && first.first() <= range.last()).then_some(first.first())
    }
}

/// Invalidates the process addresses of mappings; their bytes.
///
/// # Errors
///
/// `EINVAL` when that of one is invalid; nothing has changed then.
fn invalidate_vaddr(state: &mut State, first: Iova, last: Iova) -> Result<u64> {
    let range = IovaRange::new(first, last).ok_or(EINVAL)?;
    let invalid = state.space.for_each_in(range, |_, mapping| {
        if mapping.has_vaddr() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    if invalid.is_some() {
        return Err(EINVAL);
    }
    let (count, mut bytes) = (&mut state.invalid_vaddrs, 0u64);
    let _ = state.space.for_each_in(range, |size, mapping| {
        mapping.invalidate_vaddr();
        count.inc();
        // They are disjoint.
        bytes = bytes.saturating_add(size);
        ControlFlow::<()>::Continue(())
    });
    Ok(bytes)
}

/// Removes the mappings from `first` on that begin in `range`, up to one with pages that drivers
/// have pinned, and returns where that is. Copies their dirty bitmaps if asked to, and adds their
/// bytes to `unmapped`.
///
/// # Errors
///
/// `EFAULT` for the bitmap's memory.
fn remove(
    state: &mut State,
    first: Iova,
    range: IovaRange,
    bitmap: Option<&uapi::Bitmap>,
    unmapped: &mut u64,
) -> Result<Option<Iova>> {
    let mut next = Some(first);
    while let Some(area) = next.and_then(|next| state.space.from(next)) {
        let (iova, size) = (area.range.first(), area.size);
        if iova > range.last() {
            break;
        }
        if area.has_pins {
            return Ok(Some(iova));
        }
        if let Some(bitmap) = bitmap {
            state.copy_bitmap_to_user(&area, bitmap.data, range.first())?;
        }
        if let Some((_, mapping)) = state.space.remove(iova) {
            state.note_removed(&mapping);
        }
        // They are disjoint.
        *unmapped = unmapped.saturating_add(size);
        next = area.range.last().checked_add(1);
    }
    Ok(None)
}

impl State {
    fn note_removed(&mut self, mapping: &Mapping) {
        if !mapping.has_vaddr() {
            self.invalid_vaddrs.dec();
        }
        self.dma_avail.inc();
    }
}
