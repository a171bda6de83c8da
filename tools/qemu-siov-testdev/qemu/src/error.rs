// SPDX-License-Identifier: GPL-2.0

//! Errors on their way to the user: through QEMU's error reporting, never by ending QEMU.

use std::ffi::{c_int, CString};
use std::fmt;

use crate::ffi::Errp;
use crate::symbols::Symbols;

/// Why a device could not be set up, as a sentence for the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(String);

impl Error {
    /// An error with this message, which names no location: QEMU puts the option in front.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A C string of `text`; what is behind a zero byte is lost.
fn c_string(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}

impl Symbols {
    /// `error_setg()`.
    pub(crate) fn set_error(&self, errp: Errp<'_>, error: &Error) {
        let file = concat!(file!(), "\0");
        let text = c_string(&error.0);
        // SAFETY: the strings live during the call, which copies them; %s takes one. `errp` is
        // null, or a place for an error.
        unsafe {
            (self.error_setg_internal)(
                errp.as_ptr(),
                file.as_ptr().cast(),
                line!() as c_int,
                c"set_error".as_ptr(),
                c"%s".as_ptr(),
                text.as_ptr(),
            );
        }
    }

    /// Prints a line on QEMU's standard error or monitor: `error_report()`, or `warn_report()`.
    pub(crate) fn print(&self, is_error: bool, text: &str) {
        let text = c_string(text);
        if is_error {
            // SAFETY: %s takes one string, which lives during the call.
            unsafe { (self.error_report)(c"%s".as_ptr(), text.as_ptr()) };
        } else {
            // SAFETY: %s takes one string, which lives during the call.
            unsafe { (self.warn_report)(c"%s".as_ptr(), text.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_refused() {
        assert_eq!(c_string("a\0b").as_bytes(), b"a");
        assert_eq!(c_string("%s%n").as_bytes(), b"%s%n");
        assert_eq!(c_string("").as_bytes(), b"");
    }
}
