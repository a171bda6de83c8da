// SPDX-License-Identifier: GPL-2.0

//! Physical memory as the CPU sees it.

use crate::bindings;
use core::ptr::NonNull;
use siov_types::PhysAddr;

/// The address in the direct map of `phys`.
///
/// The result may be used only where `phys` is memory that the caller owns: that is up to whoever
/// dereferences it. (`phys_to_virt()` of `arch/x86/include/asm/io.h`, here because it is inline
/// there and sits in the hot path of every page-table walk.)
#[inline(always)]
pub(crate) fn phys_to_virt(phys: PhysAddr) -> *mut u8 {
    // SAFETY: `page_offset_base` is written once, early at boot.
    let base = unsafe { bindings::page_offset_base } as u64;
    base.wrapping_add(phys.raw()) as *mut u8
}

/// The physical address behind an address in the direct map (`virt_to_phys()`).
#[inline(always)]
pub(crate) fn virt_to_phys(virt: NonNull<u8>) -> PhysAddr {
    // SAFETY: `page_offset_base` is written once, early at boot.
    let base = unsafe { bindings::page_offset_base } as u64;
    PhysAddr::new((virt.as_ptr() as u64).wrapping_sub(base))
}

/// Writes the cache lines of `[start, start + len)` back to memory, for a reader that does not
/// snoop the CPU's caches. `len` is in bytes.
#[inline]
pub(crate) fn flush_cache<T>(start: *const T, len: usize) {
    // SAFETY: CLFLUSH changes no memory that anyone can observe, and callers pass memory they hold
    // a reference to.
    unsafe { bindings::clflush_cache_range(start.cast_mut().cast(), len as u32) };
}
