// SPDX-License-Identifier: GPL-2.0

//! Reading files in sysfs: the page that a `show` function fills.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::callback::{Call, FromC};
use kernel::ffi::c_char;
use kernel::prelude::*;
use siov_types::PAGE_SIZE;

/// What reading a file returns: at most one page.
///
/// Only trampolines make one. As a parameter of a callback it demands of the pointer that it leads
/// to `PAGE_SIZE` initialised bytes, which nothing else accesses until the call ends: sysfs clears
/// a page and passes it to one `show` function.
pub struct Page<'a>(&'a mut [u8; PAGE_SIZE as usize]);

impl<'call> FromC<'call, *mut c_char> for Page<'call> {
    unsafe fn from_c(c: *mut c_char, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { &mut *c.cast() })
    }
}

/// The number of bytes that a `show` function has put into its page: only a [`Page`] makes one.
#[must_use]
pub struct Written(isize);

impl Written {
    /// The number, which a `show` function returns to C code.
    pub fn bytes(self) -> isize {
        self.0
    }
}

impl Page<'_> {
    /// Writes `text` and a line feed, cut at the end of the page as `sysfs_emit()` does.
    pub fn line(self, text: &[u8]) -> Written {
        let mut len = 0;
        // C keeps the last byte for a NUL.
        let room = self.0.iter_mut().take(PAGE_SIZE as usize - 1);
        for (to, from) in room.zip(Iterator::chain(text.iter(), b"\n")) {
            *to = *from;
            len += 1;
        }
        Written(len)
    }

    /// Has C code fill the page: `show` gets the start of its `PAGE_SIZE` bytes, and returns what a
    /// `show` function does.
    ///
    /// # Errors
    ///
    /// What `show` returns.
    pub fn written_by(self, show: impl FnOnce(*mut c_char) -> isize) -> Result<Written> {
        match show(self.0.as_mut_ptr().cast()) {
            len @ 0.. => Ok(Written(len)),
            errno => Err(Error::from_errno(errno as i32)),
        }
    }
}
