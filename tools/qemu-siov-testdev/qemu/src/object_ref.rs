// SPDX-License-Identifier: GPL-2.0

//! Objects that are kept.

use std::ops::Deref;
use std::ptr::NonNull;

use crate::ffi::Object;
use crate::qemu::Qemu;

/// A counted reference to an object of QEMU.
pub(crate) struct ObjectRef<T: AsRef<Object>> {
    qemu: &'static Qemu,
    object: NonNull<T>,
}

impl<T: AsRef<Object>> ObjectRef<T> {
    /// Keeps an object.
    ///
    /// # Safety
    ///
    /// The result is used and dropped with the big lock held, and used only while the object is
    /// what `T` promises.
    pub(crate) unsafe fn new(qemu: &'static Qemu, object: &T) -> Self {
        // SAFETY: it is an object, and whoever has the reference has the big lock.
        unsafe { (qemu.symbols.object_ref)(object.as_ref().as_ptr().cast()) };
        Self {
            qemu,
            object: NonNull::from(object),
        }
    }
}

impl<T: AsRef<Object>> Deref for ObjectRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: counted, and used as new() demands.
        unsafe { self.object.as_ref() }
    }
}

impl<T: AsRef<Object>> Drop for ObjectRef<T> {
    fn drop(&mut self) {
        let object = (**self).as_ref().as_ptr();
        // SAFETY: the reference that new() has taken, with the big lock held, as it demands.
        unsafe { (self.qemu.symbols.object_unref)(object.cast()) };
    }
}
