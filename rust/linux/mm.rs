// SPDX-License-Identifier: GPL-2.0

//! Physical memory as the CPU sees it.

use crate::bindings;
use core::ptr::NonNull;
use siov_types::PhysAddr;

/// The address in the direct map of `phys`.
///
/// Dereferencing it is up to those who own the memory at `phys`. (`phys_to_virt()` of
/// `arch/x86/include/asm/io.h`, here because it is inline there and sits in the hot path of every
/// page-table walk.)
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

/// Writes the cache lines of `values` back to memory, for a reader that does not snoop the CPU's
/// caches.
#[inline]
pub(crate) fn flush_cache<T>(values: &[T]) {
    let (start, len) = (values.as_ptr().cast_mut().cast(), size_of_val(values));
    if len == 0 {
        // The address may be any, and the function flushes the line that it lies in.
        return;
    }
    // SAFETY: The memory is mapped, and CLFLUSH changes none of it.
    unsafe { bindings::clflush_cache_range(start, len as u32) };
}
