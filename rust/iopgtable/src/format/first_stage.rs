// SPDX-License-Identifier: GPL-2.0

//! First-stage paging entries (VT-d spec, 9.7): those of the processor.

use super::sealed::Encoding;
use super::{Format, Prot};
use crate::config::Levels;

/// Present, bit 0; also permits to read.
const P: u64 = 1 << 0;
/// Read/write, bit 1.
const RW: u64 = 1 << 1;
/// User/supervisor, bit 2: set for user. Requests without PASID, and with one that does not ask for
/// privilege, are user requests.
const US: u64 = 1 << 2;
/// Accessed, bit 5.
const A: u64 = 1 << 5;
/// Dirty, bit 6 of a leaf.
const D: u64 = 1 << 6;
/// Ignored by hardware. The kernel's `fmt/x86_64.h` has its first software bit here, too.
const IGN_9: u64 = 1 << 9;

/// The first stage: from IOVA, or guest-virtual address, to guest- or host-physical address.
///
/// A present entry can be read: a mapping that asks for [`Prot::WRITE`] alone permits both, as the
/// kernel's does. Accessed and dirty are set from the start, which spares the hardware an atomic
/// update of each entry on first use.
pub enum FirstStage {}

impl Format for FirstStage {}

impl Encoding for FirstStage {
    const PRESENT: u64 = P;
    const TABLE: u64 = P | RW | US | A;
    const LINKED: u64 = IGN_9;
    const ACCESSED: u64 = A;
    const DIRTY: u64 = D;

    fn input_bits(levels: Levels) -> Option<u8> {
        match levels {
            // FSPM of a PASID entry knows four and five levels only (VT-d spec, 9.6).
            Levels::Three => None,
            // The highest bit is the sign.
            Levels::Four | Levels::Five => Some(levels.address_bits() - 1),
        }
    }

    #[inline(always)]
    fn leaf(prot: Prot) -> u64 {
        if prot.contains(Prot::WRITE) {
            P | US | A | RW | D
        } else {
            P | US | A
        }
    }

    #[inline]
    fn prot(entry: u64) -> Prot {
        if entry & RW != 0 {
            Prot::READ | Prot::WRITE
        } else {
            Prot::READ
        }
    }
}
