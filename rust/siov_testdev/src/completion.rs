// SPDX-License-Identifier: GPL-2.0

//! A completion record: 32 bytes that say how a descriptor ended (section "Completion records").

use siov_types::Iova;

use crate::bytes::{U32At, U64At};

/// How a descriptor ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum CompletionStatus {
    /// As asked.
    Success = 1,
    /// A comparison found a difference.
    Mismatch = 2,
    /// The descriptor is none that the device accepts.
    Invalid = 3,
    /// A request failed; the privileged page says why.
    Fault = 4,
    /// Privileged software ended it. Only in the user page: no record is written.
    Aborted = 5,
}

impl CompletionStatus {
    /// From the first word of a record; `None` for what the device never writes, 0 among it.
    #[inline]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Success,
            2 => Self::Mismatch,
            3 => Self::Invalid,
            4 => Self::Fault,
            5 => Self::Aborted,
            _ => return None,
        })
    }
}

/// A completion record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// How it ended.
    pub status: CompletionStatus,
    /// The descriptor's tag.
    pub tag: u32,
    /// The CRC, or the offset of the first difference in bytes; otherwise 0.
    pub result: u64,
    /// Where the request that failed went; otherwise 0.
    pub fault_address: Iova,
    /// Bytes that were worked on.
    pub bytes: u32,
}

type Status = U32At<0>;
type Tag = U32At<4>;
type Result64 = U64At<8>;
type FaultAddress = U64At<16>;
type Done = U32At<24>;

impl Completion {
    /// Bytes of a record, and its alignment.
    pub const BYTES: usize = 32;

    /// Bytes at the start of a record, status and tag, that the device writes after the rest and in
    /// one piece: a reader that sees the status sees all of it.
    pub const HEAD_BYTES: usize = 8;

    /// The form in memory.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        Status::put(&mut bytes, self.status as u32);
        Tag::put(&mut bytes, self.tag);
        Result64::put(&mut bytes, self.result);
        FaultAddress::put(&mut bytes, self.fault_address.raw());
        Done::put(&mut bytes, self.bytes);
        bytes
    }

    /// Reads the form in memory; `None` as long as the device has not written a status.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        Some(Self {
            status: CompletionStatus::from_raw(Status::get(bytes))?,
            tag: Tag::get(bytes),
            result: Result64::get(bytes),
            fault_address: Iova::new(FaultAddress::get(bytes)),
            bytes: Done::get(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_in_memory_is_the_specified_one() {
        let c = Completion {
            status: CompletionStatus::Fault,
            tag: 0x0102_0304,
            result: 0x1112_1314_1516_1718,
            fault_address: Iova::new(0x2122_2324_2526_2728),
            bytes: 0x3132_3334,
        };
        let b = c.to_bytes();
        assert_eq!(b[..8], [4, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(b[8..16], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(b[16..24], [0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        assert_eq!(b[24..], [0x34, 0x33, 0x32, 0x31, 0, 0, 0, 0]);
        assert_eq!(Completion::from_bytes(&b), Some(c));
        assert_eq!(Completion::from_bytes(&[0; 32]), None);
        for raw in 0..16 {
            if let Some(status) = CompletionStatus::from_raw(raw) {
                assert_eq!(status as u32, raw);
            }
        }
    }
}
