// SPDX-License-Identifier: GPL-2.0

//! Memory that the device reads and writes: some pages, whose addresses are the same for both.

use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Number of pages.
pub const PAGES: usize = 16;

#[repr(C, align(4096))]
struct Arena([AtomicU8; PAGES * PAGE]);

static ARENA: Arena = Arena([const { AtomicU8::new(0) }; PAGES * PAGE]);

/// The address of a page, for the device.
pub fn page(index: usize) -> u64 {
    ARENA.0.as_ptr() as u64 + (index * PAGE) as u64
}

/// Writes from the start of a page on.
pub fn put(index: usize, bytes: impl Iterator<Item = u8>) {
    for (to, byte) in ARENA.0.iter().skip(index * PAGE).zip(bytes) {
        to.store(byte, Ordering::Relaxed);
    }
}

/// What lies from the start of a page on.
pub fn get(index: usize) -> impl Iterator<Item = u8> {
    let bytes = ARENA.0.iter().skip(index * PAGE);
    bytes.map(|byte| byte.load(Ordering::Relaxed))
}
