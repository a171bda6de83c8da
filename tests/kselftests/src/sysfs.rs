// SPDX-License-Identifier: GPL-2.0

//! Files of sysfs, procfs and debugfs, with errors that name the file.

use crate::ktap::Result;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Contents of a file without the last line's end.
///
/// # Errors
///
/// Those of reading, with the path.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}

/// Writes `value` in one go.
///
/// # Errors
///
/// Those of writing, with the path and the value; [`errno`] finds the number.
pub fn write(path: impl AsRef<Path>, value: &str) -> Result {
    let path = path.as_ref();
    fs::write(path, value).with_context(|| format!("write {value:?} to {}", path.display()))
}

/// The error number that is at the bottom of `error`.
pub fn errno(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|cause| {
        let io = cause
            .downcast_ref::<std::io::Error>()
            .and_then(|e| e.raw_os_error());
        io.or_else(|| cause.downcast_ref::<nix::Error>().map(|e| *e as i32))
    })
}

/// Checks that `result` is an error with number `expected`.
///
/// # Errors
///
/// When it is not.
pub fn expect_errno<T>(result: Result<T>, expected: nix::Error, what: &str) -> Result {
    match result {
        Ok(_) => anyhow::bail!("{what} succeeded, expected {expected}"),
        Err(error) if errno(&error) == Some(expected as i32) => Ok(()),
        Err(error) => Err(error.context(format!("{what}: expected {expected}"))),
    }
}
