// SPDX-License-Identifier: GPL-2.0

//! The region of a mediated device in which its user reads what became of requests that failed
//! (section "Fault region" of `Documentation/siov-testdev.rst`).
//!
//! The device reports what the request was for, and the IOMMU, if it reports anything, why it was
//! blocked. The two come on different ways and in any order; a record joins them by the page.

use crate::{FaultReason, FaultSource, FaultStatus};

/// Type of the region (`struct vfio_region_info_cap_type`): `VFIO_REGION_TYPE_PCI_VENDOR_TYPE` and
/// the vendor.
pub const TYPE: u32 = (1 << 31) | crate::pci::VENDOR_ID as u32;

/// Subtype of the region.
pub const SUBTYPE: u32 = 1;

/// Size of the region in bytes.
pub const BYTES: usize = 4096;

/// Size of the header and of each record in bytes.
pub const RECORD_BYTES: usize = 64;

/// Records that the region keeps: the newest ones.
pub const SLOTS: usize = BYTES / RECORD_BYTES - 1;

/// Offsets in bytes from the start of the region.
pub mod header {
    /// Records that were ever made; number n is in slot n % [`SLOTS`](super::SLOTS). 64 bits.
    pub const COUNT: usize = 0x00;
    /// Bytes of a record. 32 bits.
    pub const RECORD_BYTES: usize = 0x08;
    /// Records that are kept. 32 bits.
    pub const SLOTS: usize = 0x0c;
    /// Faults that have no record of their own, because they came too fast. 64 bits.
    pub const LOST: usize = 0x10;
}

/// Bits of [`Record::flags`].
pub mod flags {
    /// The request wanted to write.
    pub const WRITE: u32 = 1 << 0;
    /// It carried [`Record::pasid`](super::Record::pasid).
    pub const TAGGED: u32 = 1 << 1;
    /// The part of the device is there.
    pub const DEVICE: u32 = 1 << 2;
    /// The part of the IOMMU is there.
    pub const IOMMU: u32 = 1 << 3;
}

/// What is known of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Number from 1 on; 0 in a slot that is empty. At 0, 64 bits.
    pub number: u64,
    /// Where it went, or the page if only the part of the IOMMU is there. At 8, 64 bits.
    pub address: u64,
    /// At 16, 32 bits.
    pub pasid: u32,
    /// [`flags`]. At 20, 32 bits.
    pub flags: u32,
    /// [`FaultReason`], of the device. At 24, 32 bits.
    pub reason: u32,
    /// [`FaultSource`], of the device. At 28, 32 bits.
    pub source: u32,
    /// Reason in the IOMMU's own encoding. At 32, 32 bits.
    pub iommu_reason: u32,
}

impl Record {
    /// The part of the device.
    pub const fn of_device(status: FaultStatus, pasid: u32, address: u64) -> Self {
        let mut bits = flags::DEVICE;
        if status.is_write() {
            bits |= flags::WRITE;
        }
        if status.is_tagged() {
            bits |= flags::TAGGED;
        }
        Self {
            number: 0,
            address,
            pasid,
            flags: bits,
            reason: match status.reason() {
                Some(reason) => reason as u32,
                None => 0,
            },
            source: match status.source() {
                Some(source) => source as u32,
                None => 0,
            },
            iommu_reason: 0,
        }
    }

    /// The part of the IOMMU.
    pub const fn of_iommu(pasid: u32, page: u64, write: bool, reason: u32) -> Self {
        let mut bits = flags::IOMMU | flags::TAGGED;
        if write {
            bits |= flags::WRITE;
        }
        Self {
            number: 0,
            address: page,
            pasid,
            flags: bits,
            reason: 0,
            source: 0,
            iommu_reason: reason,
        }
    }

    /// The reason that the device gives.
    pub const fn device_reason(&self) -> Option<FaultReason> {
        FaultReason::from_raw(self.reason)
    }

    /// What the request was for.
    pub const fn device_source(&self) -> Option<FaultSource> {
        FaultSource::from_raw(self.source)
    }

    /// As it lies in the region.
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let words = [
            self.number,
            self.address,
            u64::from(self.pasid) | (u64::from(self.flags) << 32),
            u64::from(self.reason) | (u64::from(self.source) << 32),
            u64::from(self.iommu_reason),
        ];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// From what was read of the region; `None` for an empty slot.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let mut words = [0; 5];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(*from.first_chunk()?);
        }
        let [number, address, tag, device, iommu] = words;
        (number != 0).then_some(Self {
            number,
            address,
            pasid: tag as u32,
            flags: (tag >> 32) as u32,
            reason: device as u32,
            source: (device >> 32) as u32,
            iommu_reason: iommu as u32,
        })
    }

    /// Whether `other` is the other part about the same request.
    fn completes(&self, other: &Self) -> bool {
        const PAGE: u64 = !(crate::pci::PAGE_SIZE - 1);
        let sides = (self.flags ^ other.flags) & (flags::DEVICE | flags::IOMMU);
        sides == flags::DEVICE | flags::IOMMU
            && self.flags & other.flags & (flags::DEVICE | flags::IOMMU) == 0
            && self.flags & flags::TAGGED != 0
            && other.flags & flags::TAGGED != 0
            && self.pasid == other.pasid
            && self.address & PAGE == other.address & PAGE
    }

    fn join(&mut self, other: &Self) {
        // The IOMMU knows the page only.
        if other.flags & flags::DEVICE != 0 {
            self.address = other.address;
            self.reason = other.reason;
            self.source = other.source;
        } else {
            self.iommu_reason = other.iommu_reason;
        }
        self.flags |= other.flags;
    }
}

/// The contents of a region.
#[derive(Clone, Debug)]
pub struct Log {
    slots: [Record; SLOTS],
    count: u64,
    lost: u64,
}

impl Log {
    /// Nothing has happened.
    pub const fn new() -> Self {
        const EMPTY: Record = Record {
            number: 0,
            address: 0,
            pasid: 0,
            flags: 0,
            reason: 0,
            source: 0,
            iommu_reason: 0,
        };
        Self {
            slots: [EMPTY; SLOTS],
            count: 0,
            lost: 0,
        }
    }

    /// Adds the part of one side: to the oldest record that lacks it, or as a new one.
    pub fn add(&mut self, half: Record) {
        let waiting = self
            .slots
            .iter_mut()
            .filter(|slot| slot.number != 0 && slot.completes(&half))
            .min_by_key(|slot| slot.number);
        if let Some(record) = waiting {
            record.join(&half);
            return;
        }
        let slot = (self.count % SLOTS as u64) as usize;
        self.count = self.count.saturating_add(1);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Record {
                number: self.count,
                ..half
            };
        }
    }

    /// Notes faults of which nothing else is known.
    pub fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    /// Reads from `offset` on; zeroes past the end.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            *byte = self.byte(at);
        }
    }

    fn byte(&self, at: usize) -> u8 {
        let within = at % RECORD_BYTES;
        let bytes = match (at / RECORD_BYTES).checked_sub(1) {
            None => self.header(),
            Some(slot) => self
                .slots
                .get(slot)
                .map_or([0; RECORD_BYTES], Record::to_bytes),
        };
        bytes.get(within).copied().unwrap_or(0)
    }

    fn header(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let words = [
            self.count,
            RECORD_BYTES as u64 | ((SLOTS as u64) << 32),
            self.lost,
        ];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn device(address: u64) -> Record {
        let status = FaultStatus::new(FaultReason::Blocked, FaultSource::Destination, true, true);
        Record::of_device(status, 7, address)
    }

    fn records(log: &Log) -> Vec<Record> {
        let mut bytes = vec![0; BYTES];
        log.read(0, &mut bytes);
        let mut records: Vec<_> = bytes
            .chunks_exact(RECORD_BYTES)
            .skip(1)
            .filter_map(|r| Record::from_bytes(r.first_chunk().unwrap()))
            .collect();
        records.sort_by_key(|r| r.number);
        records
    }

    #[test]
    fn both_sides_make_one_record_in_any_order() {
        let iommu = Record::of_iommu(7, 0x5000, true, 0x85);
        for order in [[device(0x5678), iommu], [iommu, device(0x5678)]] {
            let mut log = Log::new();
            order.into_iter().for_each(|half| log.add(half));
            let found = records(&log);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].address, 0x5678);
            assert_eq!(found[0].iommu_reason, 0x85);
            assert_eq!(found[0].device_source(), Some(FaultSource::Destination));
            assert_eq!(found[0].flags, 0xf);
        }
    }

    #[test]
    fn sides_of_different_requests_stay_apart() {
        for other in [
            Record::of_iommu(7, 0x6000, true, 0x85),
            Record::of_iommu(8, 0x5000, true, 0x85),
            device(0x5678),
        ] {
            let mut log = Log::new();
            log.add(device(0x5678));
            log.add(other);
            assert_eq!(records(&log).len(), 2, "{other:?}");
        }
    }

    #[test]
    fn what_is_joined_is_not_joined_again() {
        let mut log = Log::new();
        log.add(device(0x5678));
        log.add(Record::of_iommu(7, 0x5000, true, 0x85));
        log.add(Record::of_iommu(7, 0x5000, true, 0x86));
        let found = records(&log);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].iommu_reason, found[1].iommu_reason), (0x85, 0x86));
    }

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let mut log = Log::new();
        for n in 0..200 {
            log.add(device(n * 0x1000));
        }
        log.lose(3);
        let found = records(&log);
        assert_eq!(found.len(), SLOTS);
        assert_eq!(found[0].number, 200 - SLOTS as u64 + 1);
        assert_eq!(found[SLOTS - 1].number, 200);
        let mut word = [0; 8];
        log.read(header::COUNT, &mut word);
        assert_eq!(u64::from_le_bytes(word), 200);
        log.read(header::LOST, &mut word);
        assert_eq!(u64::from_le_bytes(word), 3);
        log.read(BYTES - 4, &mut word);
        assert_eq!(word[4..], [0; 4]);
    }
}
