// SPDX-License-Identifier: GPL-2.0

//! What is read from files in sysfs.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::abi::Pass;
use kernel::ffi::c_char;
use kernel::prelude::*;
use siov_types::PAGE_SIZE;

// SAFETY: Sysfs passes a page to functions that show what is in a file, for the function alone.
crate::c_arguments!(unsafe {
    /// What reading a file returns: at most one page.
    pub struct Page<'a>(&'a mut [u8; PAGE_SIZE as usize]): *mut c_char;
});

impl Pass<*mut c_char> for &mut Page<'_> {
    fn pass(self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }
}

impl Page<'_> {
    /// What a C function says that it wrote to the page.
    ///
    /// # Errors
    ///
    /// What it says.
    pub fn written(self, len: isize) -> Result<usize> {
        usize::try_from(len).map_err(|_| Error::from_errno(len as i32))
    }

    /// `text` and a line feed, cut at the end of the page as `sysfs_emit()` does.
    pub fn line(self, text: &[u8]) -> Result<usize> {
        let mut len = 0;
        // C keeps the last byte for a NUL.
        let room = self.0.iter_mut().take(PAGE_SIZE as usize - 1);
        for (to, from) in room.zip(Iterator::chain(text.iter(), b"\n")) {
            *to = *from;
            len += 1;
        }
        Ok(len)
    }
}
