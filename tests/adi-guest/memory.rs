// SPDX-License-Identifier: GPL-2.0

//! Memory that the device reads and writes: some pages, whose addresses are the same for both.

use core::cell::UnsafeCell;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Number of pages.
pub const PAGES: usize = 16;

#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; PAGES * PAGE]>);

// SAFETY: one processor, and no reference to the content is ever made.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; PAGES * PAGE]));

/// The address of a page, for the device.
pub fn page(index: usize) -> u64 {
    ARENA.0.get() as u64 + (index * PAGE) as u64
}

/// Writes from the start of a page on.
pub fn put(index: usize, bytes: impl Iterator<Item = u8>) {
    for (at, byte) in (index * PAGE..PAGES * PAGE).zip(bytes) {
        // SAFETY: within the arena; volatile, because the device reads it.
        unsafe { ARENA.0.get().cast::<u8>().add(at).write_volatile(byte) };
    }
}

/// What lies from the start of a page on.
pub fn get(index: usize) -> impl Iterator<Item = u8> {
    (index * PAGE..PAGES * PAGE).map(|at| {
        // SAFETY: within the arena; volatile, because the device writes it.
        unsafe { ARENA.0.get().cast::<u8>().add(at).read_volatile() }
    })
}
