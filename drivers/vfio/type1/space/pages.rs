// SPDX-License-Identifier: GPL-2.0

//! Single pages: what drivers of emulated devices pin, and which pages are written to.

use super::Space;
use crate::error::Failure;
use crate::sys::request::{PinRequest, Pinned, UnpinRequest};
use kernel::prelude::*;
use siov_types::{Iova, PAGE_SIZE};

impl Space {
    /// Pins the pages of `request` for a driver, and marks them as written to if `track` has the
    /// log2 size of tracked pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` where nothing is mapped, `EPERM` where less is permitted than the driver asks for,
    /// and those of pinning and accounting. Nothing is pinned then.
    pub(crate) fn pin<'call>(
        &mut self,
        mut request: PinRequest<'call>,
        track: Option<u32>,
    ) -> Result<Pinned<'call>, Failure> {
        while let Some(iova) = request.next() {
            if let Err(failure) = self.pin_next(iova, &mut request, track) {
                self.ioas.unpin_all(request);
                return Err(failure);
            }
        }
        Ok(request.finish()?)
    }

    fn pin_next(
        &mut self,
        iova: Iova,
        request: &mut PinRequest<'_>,
        track: Option<u32>,
    ) -> Result<(), Failure> {
        self.ioas.pin_next(request)?;
        if let Some(shift) = track {
            self.mark(iova, PAGE_SIZE, shift);
        }
        Ok(())
    }

    /// Unpins the pages of `request`.
    ///
    /// # Errors
    ///
    /// `EINVAL` where nothing is mapped; the pages from there on stay pinned.
    pub(crate) fn unpin(&mut self, mut request: UnpinRequest) -> Result {
        while self.ioas.unpin_next(&mut request)? {}
        Ok(())
    }

    /// Keeps drivers from pinning more pages of the mapping at `iova`, if they have pinned some;
    /// its size then.
    pub(crate) fn begin_unpinning(&mut self, iova: Iova) -> Option<u64> {
        self.ioas.begin_unpinning(iova)
    }

    /// Whether there are pages of the mapping at `iova` that drivers have pinned.
    pub(crate) fn has_pins(&self, iova: Iova) -> bool {
        let area = self.from(iova);
        area.is_some_and(|area| area.has_pins && area.range.first() == iova)
    }

    /// Ends what [`Self::begin_unpinning`] began; whether there are still pages of that mapping
    /// that drivers have pinned.
    pub(crate) fn end_unpinning(&mut self, iova: Iova) -> bool {
        self.ioas.end_unpinning(iova)
    }

    /// Begins to track what is written to.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a mapping that is too large, `ENOMEM`; nothing is tracked then.
    pub(crate) fn track(&mut self, shift: u32) -> Result {
        let started = self.ioas.iter_mut().try_for_each(|area| {
            area.memory
                .track(area.range.first(), area.size, shift, area.pins)
        });
        if started.is_err() {
            self.untrack();
        }
        started
    }

    /// Ends tracking.
    pub(crate) fn untrack(&mut self) {
        self.ioas.iter_mut().for_each(|area| area.memory.untrack());
    }

    /// Marks everything as written to.
    pub(crate) fn mark_all(&mut self, shift: u32) {
        for area in self.ioas.iter_mut() {
            area.memory.mark(0, area.size, shift);
        }
    }

    /// Marks bytes from `iova` on, which are in one mapping, as written to.
    pub(crate) fn mark(&mut self, iova: Iova, len: u64, shift: u32) {
        let offset = self
            .from(iova)
            .and_then(|area| iova.checked_sub(area.range.first()));
        if let (Some(offset), Some(mapping)) = (offset, self.at_mut(iova)) {
            mapping.mark(offset, len, shift);
        }
    }

    /// Clears the marks of the mapping that begins at `iova`, except for those of pinned pages.
    pub(crate) fn clear_dirty(&mut self, iova: Iova, shift: u32) {
        if let Some((mapping, pins)) = self.ioas.at_mut(iova) {
            mapping.clear_dirty(iova, shift, pins);
        }
    }
}
