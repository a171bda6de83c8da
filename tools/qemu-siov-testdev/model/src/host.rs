// SPDX-License-Identifier: GPL-2.0

//! What the device model needs from the machine around it.

use siov_testdev_regs::{global, FaultReason};
use siov_types::{Iova, IovaRange, Pasid, PhysAddr};

/// A translation that the IOMMU lets the device keep (PCIe spec, 10.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Where the 4 KiB page of the request lies.
    pub page: PhysAddr,
    /// Whether writes are allowed.
    pub writable: bool,
}

/// Translations that the IOMMU takes back: those of one PASID, or of requests without one, in a
/// range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalidation {
    /// Whose.
    pub pasid: Option<Pasid>,
    /// Which.
    pub range: IovaRange,
}

/// The machine as the device sees it. Addresses and lengths of a request never pass a 4 KiB
/// boundary.
pub trait Host {
    /// Reads memory: a request with `pasid`, or without one.
    ///
    /// # Errors
    ///
    /// Why the request failed; `into` is then undefined.
    fn read(
        &mut self,
        pasid: Option<Pasid>,
        from: Iova,
        into: &mut [u8],
    ) -> Result<(), FaultReason>;

    /// Writes memory: a request with `pasid`, or without one.
    ///
    /// # Errors
    ///
    /// Why the request failed; memory is then unchanged.
    fn write(&mut self, pasid: Option<Pasid>, to: Iova, data: &[u8]) -> Result<(), FaultReason>;

    /// Asks the IOMMU for a translation to keep (ATS), until
    /// [`take_invalidation`](Self::take_invalidation) takes it back.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn translate(
        &mut self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Translation, FaultReason>;

    /// The next invalidation that the IOMMU has sent. The device asks before each request, so none
    /// goes out with a translation that was taken back before.
    fn take_invalidation(&mut self) -> Option<Invalidation>;

    /// Reads memory at an address that [`translate`](Self::translate) gave.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    fn read_translated(&mut self, from: PhysAddr, into: &mut [u8]) -> Result<(), FaultReason>;

    /// Writes memory at an address that [`translate`](Self::translate) gave.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    fn write_translated(&mut self, to: PhysAddr, data: &[u8]) -> Result<(), FaultReason>;

    /// Raises an MSI-X vector.
    fn interrupt(&mut self, vector: u32);

    /// Guest time in nanoseconds.
    fn now(&self) -> u64;

    /// Calls [`Device::run`](crate::Device::run) at this time, or as soon as possible when it has
    /// passed; replaces what was asked for earlier. `None`: there is nothing to do.
    fn wake(&mut self, at: Option<u64>);

    /// What is enabled in configuration space: the flags of [`global::Status`] but ACTIVE.
    fn enabled(&self) -> global::Status;
}
