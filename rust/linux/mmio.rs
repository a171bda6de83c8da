// SPDX-License-Identifier: GPL-2.0

//! A claimed and mapped page of device registers.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{Arc, Completion};
use siov_types::{PhysAddr, PAGE_SIZE};

/// Exclusive use of a range of registers, mapped uncached.
///
/// # Invariants
///
/// `base` is the start of an `ioremap()` mapping of `len` bytes, and `len` is at least one page.
pub struct Registers {
    base: NonNull<u8>,
    len: usize,
    // Dropped in this order, after the mapping has ended.
    claim: Claim,
    _lease: Option<Lease>,
}

/// The time in which registers may be mapped: what lies there is something else later.
#[pin_data]
pub(crate) struct Term {
    begun: AtomicBool,
    #[pin]
    ended: Completion,
}

impl Term {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let this = pin_init!(Self {
            begun: AtomicBool::new(false),
            ended <- Completion::new(),
        });
        Arc::pin_init(this, GFP_KERNEL)
    }

    /// Waits until the registers are not mapped any more, if they were.
    pub(crate) fn end(&self) {
        if self.begun.load(Ordering::Acquire) {
            self.ended.wait_for_completion();
        }
    }
}

/// The use of registers, for whose end [`Term::end`] waits.
struct Lease(Arc<Term>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.ended.complete_all();
    }
}

/// A range of `/proc/iomem` that is ours: where it starts, and its bytes.
struct Claim(PhysAddr, u64);

impl Claim {
    /// # Errors
    ///
    /// `EBUSY` when somebody else has claimed any part of it.
    fn new(phys: PhysAddr, len: u64, name: &'static CStr) -> Result<Self> {
        let root = &raw mut bindings::iomem_resource;
        // SAFETY: `iomem_resource` is the root of all memory resources, and `name` lives for ever.
        let claimed =
            unsafe { bindings::__request_region(root, phys.raw(), len, name.as_char_ptr(), 0) };
        if claimed.is_null() {
            return Err(EBUSY);
        }
        Ok(Self(phys, len))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let root = &raw mut bindings::iomem_resource;
        // SAFETY: Requested in `new`.
        unsafe { bindings::__release_region(root, self.0.raw(), self.1) };
    }
}

// SAFETY: The mapping belongs to no thread, and each access is one volatile instruction.
unsafe impl Send for Registers {}
// SAFETY: As above.
unsafe impl Sync for Registers {}

impl Registers {
    /// Claims `[phys, phys + len)` under `name`, as `/proc/iomem` shows it, and maps it.
    ///
    /// # Errors
    ///
    /// `EBUSY` when somebody else has claimed any part of it, `EINVAL` for a range that is not made
    /// of whole pages, `ENOMEM` when it cannot be mapped.
    ///
    /// # Safety
    ///
    /// The range holds registers of a device, and not memory. What they make the device do is
    /// beyond what types can say, as with all of the kernel crate's access to registers.
    pub unsafe fn claim(phys: PhysAddr, len: u64, name: &'static CStr) -> Result<Self> {
        if len == 0 || len % PAGE_SIZE != 0 || !phys.is_aligned(PAGE_SIZE) {
            return Err(EINVAL);
        }
        let size = usize::try_from(len)?;

        let claim = Claim::new(phys, len, name)?;
        // SAFETY: Registers, as required of us, which have just been claimed.
        let base = unsafe { bindings::ioremap(phys.raw(), size) };
        // INVARIANT: `ioremap()` succeeded for `size` bytes, at least a page by the check above.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(ENOMEM)?,
            len: size,
            claim,
            _lease: None,
        })
    }

    /// Has `term` end with the mapping. For one mapping each.
    pub(crate) fn leased(mut self, term: Arc<Term>) -> Self {
        term.begun.store(true, Ordering::Release);
        self._lease = Some(Lease(term));
        self
    }

    /// Where the registers lie in physical memory.
    pub fn phys(&self) -> PhysAddr {
        self.claim.0
    }

    /// The pages of registers that lie at `offset`, `len` bytes of them.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless both are multiples of the size of a page, and the pages lie in the mapping.
    pub fn pages(&self, offset: u64, len: u64) -> Result<RegisterPages<'_>> {
        let end = offset.checked_add(len).ok_or(EINVAL)?;
        if offset % PAGE_SIZE != 0 || len % PAGE_SIZE != 0 || end > self.len as u64 {
            return Err(EINVAL);
        }
        // INVARIANT: They lie in our range, as was just checked.
        Ok(RegisterPages {
            start: self.phys().checked_add(offset).ok_or(EINVAL)?,
            len,
            _registers: PhantomData,
        })
    }

    /// Where the register of type `T` at `offset` is mapped; `None`, and a warning, outside of the
    /// mapping.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let fits = offset % size_of::<T>() == 0
            && offset
                .checked_add(size_of::<T>())
                .is_some_and(|end| end <= PAGE_SIZE as usize || end <= self.len);
        // The first comparison folds to a constant for a constant offset in the first page.
        if !fits {
            Self::warn_outside();
            return None;
        }
        Some(self.base.as_ptr().wrapping_add(offset).cast())
    }

    /// Warns, once, of a driver that takes another offset for a register.
    #[cold]
    fn warn_outside() {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            kernel::warn_on!(true);
        }
    }

    /// Reads 32 bits; an offset outside of the mapping reads as all ones, as a missing device does.
    #[inline(always)]
    pub fn read32(&self, offset: usize) -> u32 {
        match self.at::<u32>(offset) {
            // SAFETY: `at` checked that this lies in the mapping and is aligned.
            Some(p) => unsafe { p.read_volatile() },
            None => u32::MAX,
        }
    }

    /// Reads 64 bits; an offset outside of the mapping reads as all ones.
    #[inline(always)]
    pub fn read64(&self, offset: usize) -> u64 {
        match self.at::<u64>(offset) {
            // SAFETY: `at` checked that this lies in the mapping and is aligned.
            Some(p) => unsafe { p.read_volatile() },
            None => u64::MAX,
        }
    }

    /// Writes 32 bits; nothing happens outside of the mapping.
    ///
    /// x86 keeps stores to memory before a later store to uncached memory, so tables written before
    /// are visible when the device sees this.
    #[inline(always)]
    pub fn write32(&self, offset: usize, value: u32) {
        if let Some(p) = self.at::<u32>(offset) {
            compiler_fence();
            // SAFETY: `at` checked that this lies in the mapping and is aligned.
            unsafe { p.write_volatile(value) };
        }
    }

    /// Writes 64 bits; nothing happens outside of the mapping. Ordered as [`Self::write32`].
    #[inline(always)]
    pub fn write64(&self, offset: usize, value: u64) {
        if let Some(p) = self.at::<u64>(offset) {
            compiler_fence();
            // SAFETY: `at` checked that this lies in the mapping and is aligned.
            unsafe { p.write_volatile(value) };
        }
    }
}

/// Whole pages of registers, as they may be mapped into an address space.
///
/// # Invariants
///
/// They belong to a [`Registers`] that lives as long as `'a`, and to no other user of physical
/// memory.
#[derive(Clone, Copy, Debug)]
pub struct RegisterPages<'a> {
    start: PhysAddr,
    len: u64,
    _registers: PhantomData<&'a Registers>,
}

impl RegisterPages<'_> {
    /// Where `len` bytes at `offset` lie in physical memory; `None` unless all of them belong to
    /// these pages.
    pub fn locate(&self, offset: u64, len: u64) -> Option<PhysAddr> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        self.start.checked_add(offset)
    }
}

#[inline(always)]
fn compiler_fence() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: By the invariant this is what `ioremap()` returned, and nobody else holds it.
        unsafe { bindings::iounmap(self.base.as_ptr().cast()) };
    }
}
