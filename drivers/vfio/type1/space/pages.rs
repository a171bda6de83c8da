// SPDX-License-Identifier: GPL-2.0

//! Single pages: what drivers of emulated devices pin, and which pages are written to.

use super::{Failure, Space};
use crate::space::mapping::{Access, Mapping};
use crate::sys::pin;
use kernel::prelude::*;
use siov_types::{Iova, IovaRange};

impl Space {
    /// Pins the page at `iova`, which begins a page of a mapping, for a driver.
    ///
    /// # Errors
    ///
    /// `EINVAL` where nothing is mapped, `EPERM` where less than `access` is permitted, and those of
    /// [`Mapping`].
    pub(crate) fn pin(
        &mut self,
        iova: u64,
        access: Access,
        track: Option<u32>,
    ) -> Result<u64, Failure> {
        let entry = self.overlapping(page(iova).ok_or(EINVAL)?).ok_or(EINVAL)?;
        if !entry.access.permits(access) {
            return Err(EPERM.into());
        }
        // Where there is a domain, everything is pinned and paid for.
        let charged = self.domains.is_empty();
        let offset = iova.wrapping_sub(entry.range.first().raw());
        let mapping = self.at_mut(entry.range.first()).ok_or(EINVAL)?;
        let pfn = mapping.pin(iova, offset, charged)?;
        if let Some(shift) = track {
            mapping.mark(offset, pin::bytes(1), shift);
        }
        Ok(pfn)
    }

    /// Undoes one [`Self::pin`]. False where nothing is mapped.
    pub(crate) fn unpin(&mut self, iova: u64) -> bool {
        let charged = self.domains.is_empty();
        let Some(entry) = page(iova).and_then(|page| self.overlapping(page)) else {
            return false;
        };
        if let Some(mapping) = self.at_mut(entry.range.first()) {
            mapping.unpin(iova, charged);
        }
        true
    }

    /// Begins to track what is written to.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a mapping that is too large, `ENOMEM`; nothing is tracked then.
    pub(crate) fn track(&mut self, shift: u32) -> Result {
        let started = self
            .mappings
            .iter_mut()
            .try_for_each(|(key, m)| m.track(key.0, shift));
        if started.is_err() {
            self.untrack();
        }
        started
    }

    /// Ends tracking.
    pub(crate) fn untrack(&mut self) {
        self.mappings.values_mut().for_each(Mapping::untrack);
    }

    /// Marks everything as written to.
    pub(crate) fn mark_all(&mut self, shift: u32) {
        for (key, mapping) in self.mappings.iter_mut() {
            mapping.mark(0, key.size(), shift);
        }
    }

    /// Marks bytes from `iova` on, which are in one mapping, as written to.
    pub(crate) fn mark(&mut self, iova: Iova, len: u64, shift: u32) {
        let Some(entry) = self.from(iova) else {
            return;
        };
        let offset = iova.raw().wrapping_sub(entry.range.first().raw());
        if let Some(mapping) = self.at_mut(iova) {
            mapping.mark(offset, len, shift);
        }
    }
}

fn page(iova: u64) -> Option<IovaRange> {
    IovaRange::from_len(Iova::new(iova), pin::bytes(1))
}
