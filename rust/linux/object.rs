// SPDX-License-Identifier: GPL-2.0

//! Types that stand for C structures.

use crate::bindings;
use core::sync::atomic::{AtomicBool, AtomicI32};
use kernel::device::DeviceContext;

/// A type that stands for the C structure `C`: a pointer to the one is a pointer to the other.
///
/// # Safety
///
/// Where a reference to `Self` exists, a valid `C` that C code may change lies at the same address:
/// so `Self` is, or begins with, an [`Opaque`](kernel::types::Opaque) of it, or an atomic.
pub unsafe trait Object<C> {
    /// The C structure, for calls of C functions. It is valid as long as `self` is.
    ///
    /// Fields are read by `(*object.as_raw()).field`: no reference to a `C` may be made, because C
    /// code may write to it meanwhile.
    #[inline(always)]
    fn as_raw(&self) -> *mut C {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

// SAFETY: `Device` is a transparent `Opaque`.
unsafe impl<Ctx: DeviceContext> Object<bindings::device> for kernel::device::Device<Ctx> {}
// SAFETY: `Mm` is a transparent `Opaque`.
unsafe impl Object<bindings::mm_struct> for kernel::mm::Mm {}
// SAFETY: `Task` is a transparent `Opaque`.
unsafe impl Object<bindings::task_struct> for kernel::task::Task {}
// SAFETY: Of the same layout, and C code changes it by atomic operations only.
unsafe impl Object<bindings::atomic_t> for AtomicI32 {}
// SAFETY: Of the same layout, and C code stores to it as a whole.
unsafe impl Object<bool> for AtomicBool {}
