// SPDX-License-Identifier: GPL-2.0

//! Arguments of functions that C code calls.

use core::ffi::c_void;
use kernel::prelude::*;

/// A pointer that a C caller passed.
///
/// # Invariants
///
/// NULL, an error pointer, or valid for the duration of the call: such is the contract of the C function
/// that has it as a parameter. Safe code cannot make one.
#[repr(transparent)]
pub struct Argument<T>(*mut T);

impl<T> Argument<T> {
    // include/linux/err.h
    const MAX_ERRNO: usize = 4095;

    /// The object.
    ///
    /// # Errors
    ///
    /// `EINVAL` for NULL and for error pointers.
    pub fn get(&self) -> Result<&T> {
        let address = self.0 as usize;
        if address == 0 || address > usize::MAX - Self::MAX_ERRNO {
            return Err(EINVAL);
        }
        // SAFETY: By the invariant; the reference ends with the call that the argument belongs to.
        Ok(unsafe { &*self.0 })
    }
}

/// A pointer that means something to those only who passed it, and to whom it is passed back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Cookie(*mut c_void);

// SAFETY: Nobody here follows it.
unsafe impl Send for Cookie {}
// SAFETY: As above.
unsafe impl Sync for Cookie {}
