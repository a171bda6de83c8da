// SPDX-License-Identifier: GPL-2.0

//! Second-stage paging entries (VT-d spec, 9.8).

use super::sealed::Encoding;
use super::{Format, Prot};
use crate::config::Levels;

/// Read permission, bit 0. Read and write permission together make up presence.
const R: u64 = 1 << 0;
/// Write permission, bit 1.
const W: u64 = 1 << 1;
/// Accessed, bit 8.
const A: u64 = 1 << 8;
/// Dirty, bit 9.
const D: u64 = 1 << 9;
/// Snoop behaviour, bit 11 of a leaf.
const SNP: u64 = 1 << 11;
/// Ignored by hardware. The kernel's `fmt/vtdss.h` has its first software bit here, too.
const IGN_10: u64 = 1 << 10;
/// Ignored by hardware.
const IGN_52: u64 = 1 << 52;

/// The second stage: from guest-physical address, or IOVA, to host-physical address.
pub enum SecondStage {}

impl Format for SecondStage {}

impl Encoding for SecondStage {
    // Read-only and write-only entries have no bit in common, hence one of ours.
    const PRESENT: u64 = IGN_52;
    const TABLE: u64 = R | W;
    const LINKED: u64 = IGN_10;
    const ACCESSED: u64 = A;
    const DIRTY: u64 = D;

    fn input_bits(levels: Levels) -> Option<u8> {
        Some(levels.address_bits())
    }

    #[inline(always)]
    fn leaf(prot: Prot) -> u64 {
        prot.bits() & (R | W | SNP) | IGN_52
    }

    #[inline]
    fn prot(entry: u64) -> Prot {
        Prot::from_bits_truncate(entry)
    }
}

const _: () = assert!(Prot::READ.bits() == R && Prot::WRITE.bits() == W);
const _: () = assert!(Prot::SNOOP.bits() == SNP);
