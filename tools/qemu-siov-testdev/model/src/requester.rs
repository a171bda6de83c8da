// SPDX-License-Identifier: GPL-2.0

//! The way of a request out of the device: through the ATC where ATS is on.

use siov_testdev_regs::{global, FaultReason};
use siov_types::{Iova, Pasid, PhysAddr, PAGE_SIZE};

use crate::atc::Atc;
use crate::host::Host;

/// Writes to this range are interrupts, for which no device asks for a translation (VT-d spec,
/// 3.14).
const INTERRUPT_RANGE: core::ops::Range<u64> = 0xfee0_0000..0xfef0_0000;

/// Sends requests.
pub(crate) struct Requester<'a, H: ?Sized> {
    pub(crate) host: &'a mut H,
    pub(crate) atc: &'a mut Atc,
}

impl<H: Host + ?Sized> Requester<'_, H> {
    /// Reads memory; no further than to the end of the page.
    pub(crate) fn read(
        &mut self,
        pasid: Option<Pasid>,
        from: Iova,
        into: &mut [u8],
    ) -> Result<(), FaultReason> {
        match self.translate(pasid, from, false)? {
            Some(from) => self.host.read_translated(from, into),
            None => self.host.read(pasid, from, into),
        }
    }

    /// Writes memory; no further than to the end of the page.
    pub(crate) fn write(
        &mut self,
        pasid: Option<Pasid>,
        to: Iova,
        data: &[u8],
    ) -> Result<(), FaultReason> {
        match self.translate(pasid, to, true)? {
            Some(to) => self.host.write_translated(to, data),
            None => self.host.write(pasid, to, data),
        }
    }

    /// `None` if the request goes out untranslated.
    fn translate(
        &mut self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Option<PhysAddr>, FaultReason> {
        while let Some(invalidation) = self.host.take_invalidation() {
            self.atc.invalidate(invalidation);
        }
        if !self.host.enabled().contains(global::Status::ATS) {
            // With ATS off nobody invalidates what is in the cache.
            self.atc.clear();
            return Ok(None);
        }
        if INTERRUPT_RANGE.contains(&address.raw()) {
            return Ok(None);
        }
        let entry = match self.atc.get(pasid, address) {
            Some(entry) if entry.writable || !write => entry,
            _ => {
                let entry = self.host.translate(pasid, address, write)?;
                self.atc.insert(pasid, address, entry);
                entry
            }
        };
        if write && !entry.writable {
            return Err(FaultReason::Blocked);
        }
        let in_page = address.raw() % PAGE_SIZE;
        Ok(entry.page.align_down(PAGE_SIZE).checked_add(in_page))
    }
}
