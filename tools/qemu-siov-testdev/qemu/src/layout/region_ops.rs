// SPDX-License-Identifier: GPL-2.0

//! Checks `MemoryRegionOps` (include/system/memory.h) on regions of QEMU and on one of our own, and
//! finds the number of `DEVICE_LITTLE_ENDIAN`, which has changed over the years.

use std::cell::Cell;
use std::ffi::c_void;

use super::{same_program, Refusal};
use crate::call::Call;
use crate::ffi::{
    Implemented, MemoryRegion, RegionOps, RegionRead, RegionWrite, Storage, Valid,
    ATTRS_UNSPECIFIED,
};
use crate::libc;
use crate::qemu::Setup;
use crate::symbols::Symbols;

fn refuse<T>(what: &str) -> Result<T, Refusal> {
    Err(Refusal::new(format!("MemoryRegionOps: {what}")))
}

pub(super) fn find(symbols: &Symbols, setup: &Setup) -> Result<u32, Refusal> {
    let in_qemu = |address| same_program(address, symbols.pci_bridge_write_config as usize);
    let little_endian = decide(
        symbols.pci_host_conf_le_ops,
        symbols.pci_host_conf_be_ops,
        symbols.unassigned_mem_ops,
        in_qemu,
    )?;
    try_out(symbols, setup, little_endian)?;
    Ok(little_endian)
}

/// Judges three structures of QEMU: the host bridge's configuration registers in both byte orders,
/// which have read and write functions and no limits, and unassigned memory, which has `accepts`.
fn decide(
    little: &RegionOps,
    big: &RegionOps,
    unassigned: &RegionOps,
    in_qemu: impl Fn(usize) -> bool,
) -> Result<u32, Refusal> {
    for ops in [little, big] {
        let functions = [
            ops.read.map_or(0, |f| f as usize),
            ops.write.map_or(0, |f| f as usize),
        ];
        if !functions.into_iter().all(&in_qemu) {
            return refuse("read or write of the host bridge is no function of QEMU");
        }
        let limits = [
            ops.valid.min_access_size,
            ops.valid.max_access_size,
            ops.implemented.min_access_size,
            ops.implemented.max_access_size,
        ];
        let others = [ops.read_with_attrs, ops.write_with_attrs, ops.valid.accepts];
        if limits != [0; 4] || others != [0; 3] {
            return refuse("the host bridge has values where there should be none");
        }
    }
    if little.endianness == big.endianness || little.endianness.max(big.endianness) > 4 {
        return refuse("the byte orders of the host bridge make no sense");
    }
    if !in_qemu(unassigned.valid.accepts) {
        return refuse("accepts of unassigned memory is no function of QEMU");
    }
    Ok(little.endianness)
}

/// What a region is told and says in [`try_out`].
#[derive(Default)]
struct Trial {
    reads: Cell<usize>,
    written: Cell<(u64, u64, u32)>,
}

/// Offset, value and size of the write.
const TRIAL_WRITE: (u64, u64, u32) = (16, 0x5566, 8);

/// What a read gives.
const fn trial_value(at: u64, size: u32) -> u64 {
    0x1122_3344 + (at << 8) + size as u64
}

/// `MemoryRegionOps.read`.
///
/// # Safety
///
/// For the region of [`try_out`].
unsafe extern "C" fn trial_read(trial: *mut c_void, at: u64, size: u32) -> u64 {
    let call = Call::new();
    // SAFETY: what the region was made with, which lives longer.
    let trial: &Trial = unsafe { call.lend_opaque(trial) };
    trial.reads.set(trial.reads.get() + 1);
    trial_value(at, size)
}

/// `MemoryRegionOps.write`.
///
/// # Safety
///
/// For the region of [`try_out`].
unsafe extern "C" fn trial_write(trial: *mut c_void, at: u64, value: u64, size: u32) {
    let call = Call::new();
    // SAFETY: what the region was made with, which lives longer.
    let trial: &Trial = unsafe { call.lend_opaque(trial) };
    trial.written.set((at, value, size));
}

/// The operations of every region of ours: aligned accesses of four or eight bytes.
pub(crate) const fn aligned_words(
    read: RegionRead,
    write: RegionWrite,
    endianness: u32,
) -> RegionOps {
    RegionOps {
        read: Some(read),
        write: Some(write),
        read_with_attrs: 0,
        write_with_attrs: 0,
        endianness,
        valid: Valid {
            min_access_size: 4,
            max_access_size: 8,
            unaligned: 0,
            accepts: 0,
        },
        implemented: Implemented {
            min_access_size: 4,
            max_access_size: 8,
            unaligned: 0,
        },
    }
}

/// Makes a region of our own and accesses it as a processor would.
fn try_out(symbols: &Symbols, _setup: &Setup, endianness: u32) -> Result<(), Refusal> {
    // SAFETY: the type exists.
    let object = unsafe { (symbols.object_new)(c"memory-region".as_ptr()) };
    // SAFETY: objects are blocks of malloc(); one of a size that is not a multiple of malloc's is
    // rounded up only.
    let size = unsafe { libc::usable_size(object.cast()) };
    // SAFETY: its only reference.
    unsafe { (symbols.object_unref)(object.cast()) };
    if size == 0 || size > Storage::USABLE {
        return Err(Refusal::new(format!(
            "MemoryRegion: its size seems to be {size} bytes"
        )));
    }

    let trial = Trial::default();
    let ops = aligned_words(trial_read, trial_write, endianness);
    let storage = Storage::new();
    let region: *mut MemoryRegion = storage.as_ptr();
    let (init, opaque) = (symbols.memory_region_init_io, &raw const trial);
    let (owner, name) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: there is room for a region, as was just checked. Owner and name may be null, and
    // operations and trial live longer than the region.
    unsafe { init(region, owner, &ops, opaque.cast_mut().cast(), name, 64) };
    let read = |at, log2_size| {
        let mut value = 0;
        let read = symbols.memory_region_dispatch_read;
        // SAFETY: the region, which nothing but this function knows, and a place for the value.
        let result = unsafe { read(region, at, &mut value, log2_size, ATTRS_UNSPECIFIED) };
        (result, value)
    };
    let good = read(8, 2);
    let short = read(8, 1).0;
    let unaligned = read(2, 2).0;
    let (at, value, _) = TRIAL_WRITE;
    let write = symbols.memory_region_dispatch_write;
    // SAFETY: the region, which nothing but this function knows.
    let written = unsafe { write(region, at, value, 3, ATTRS_UNSPECIFIED) };
    // SAFETY: its only reference; it goes before what it points to.
    unsafe { (symbols.object_unref)(region.cast()) };
    let accesses = Accesses {
        good,
        short,
        unaligned,
        written,
    };
    judge(accesses, trial.reads.get(), trial.written.get())?;
    if !storage.is_intact() {
        return Err(Refusal::new("MemoryRegion: it is larger than it seems"));
    }
    Ok(())
}

/// What QEMU said about the accesses of [`try_out`].
#[derive(Clone, Copy)]
struct Accesses {
    /// Result and value of a good read.
    good: (u32, u64),
    /// Result of a read that is too short.
    short: u32,
    /// Result of a read that is not aligned.
    unaligned: u32,
    /// Result of a good write.
    written: u32,
}

fn judge(accesses: Accesses, reads: usize, write: (u64, u64, u32)) -> Result<(), Refusal> {
    let good = accesses.good == (0, trial_value(8, 4)) && accesses.written == 0;
    if !good || write != TRIAL_WRITE {
        return refuse("an access to a region of ours does not arrive as it should");
    }
    if accesses.short == 0 || accesses.unaligned == 0 || reads != 1 {
        return refuse("a region of ours is accessed in ways that it excludes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn read(_: *mut c_void, _: u64, _: u32) -> u64 {
        0
    }

    unsafe extern "C" fn write(_: *mut c_void, _: u64, _: u64, _: u32) {}

    fn host_bridge(endianness: u32) -> RegionOps {
        let mut ops = aligned_words(read, write, endianness);
        ops.valid.min_access_size = 0;
        ops.valid.max_access_size = 0;
        ops.implemented.min_access_size = 0;
        ops.implemented.max_access_size = 0;
        ops
    }

    fn unassigned() -> RegionOps {
        let mut ops = host_bridge(0);
        ops.valid.accepts = read as *const () as usize;
        ops
    }

    fn in_program(address: usize) -> bool {
        address != 0 && same_program(address, read as *const () as usize)
    }

    #[test]
    fn the_number_of_little_endian_is_found() {
        for (little, big) in [(2, 1), (0, 1), (1, 0)] {
            let found = decide(
                &host_bridge(little),
                &host_bridge(big),
                &unassigned(),
                in_program,
            );
            assert_eq!(found, Ok(little));
        }
    }

    #[test]
    fn every_doubt_is_a_refusal() {
        type Spoil = fn(&mut RegionOps);
        let spoil: [(Spoil, &str); 8] = [
            (|ops| ops.read = None, "read or write"),
            (|ops| ops.write = None, "read or write"),
            (|ops| ops.read_with_attrs = 1, "values where"),
            (|ops| ops.write_with_attrs = 1, "values where"),
            (|ops| ops.valid.max_access_size = 4, "values where"),
            (|ops| ops.valid.accepts = 1, "values where"),
            (|ops| ops.implemented.min_access_size = 1, "values where"),
            (|ops| ops.endianness = 5, "byte orders"),
        ];
        for (spoil, why) in spoil {
            for victim in 0..2 {
                let mut ops = [host_bridge(2), host_bridge(1)];
                spoil(&mut ops[victim]);
                let refusal = decide(&ops[0], &ops[1], &unassigned(), in_program).unwrap_err();
                assert!(refusal.to_string().contains(why), "{refusal}");
            }
        }
        let same = decide(&host_bridge(2), &host_bridge(2), &unassigned(), in_program);
        assert!(same.unwrap_err().to_string().contains("byte orders"));
        for accepts in [0, 8] {
            let mut ops = unassigned();
            ops.valid.accepts = accepts;
            let refusal = decide(&host_bridge(2), &host_bridge(1), &ops, in_program).unwrap_err();
            assert!(refusal.to_string().contains("accepts"), "{refusal}");
        }
    }

    const FINE: Accesses = Accesses {
        good: (0, trial_value(8, 4)),
        short: 2,
        unaligned: 2,
        written: 0,
    };

    #[test]
    fn accesses_arrive_or_are_refused() {
        assert_eq!(judge(FINE, 1, TRIAL_WRITE), Ok(()));
        let wrong = [
            Accesses {
                good: (2, FINE.good.1),
                ..FINE
            },
            Accesses {
                good: (0, trial_value(8, 8)),
                ..FINE
            },
            Accesses {
                good: (0, trial_value(9, 4)),
                ..FINE
            },
            Accesses { written: 1, ..FINE },
            Accesses { short: 0, ..FINE },
            Accesses {
                unaligned: 0,
                ..FINE
            },
        ];
        for accesses in wrong {
            assert!(judge(accesses, 1, TRIAL_WRITE).is_err());
        }
        assert!(judge(FINE, 2, TRIAL_WRITE).is_err());
        assert!(judge(FINE, 0, TRIAL_WRITE).is_err());
        for (at, value, size) in [(0, 0x5566, 8), (16, 0x6655, 8), (16, 0x5566, 4)] {
            assert!(judge(FINE, 1, (at, value, size)).is_err());
        }
    }
}
