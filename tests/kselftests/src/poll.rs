// SPDX-License-Identifier: GPL-2.0

//! Waiting for something to become true, with a bound.

use crate::ktap::Result;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a guest that shares its processors with others may take for anything that is a matter
/// of moments: 20 s, or as many as `siov.patience=` on the kernel's command line says.
pub fn patience() -> Duration {
    let words = crate::sysfs::read("/proc/cmdline").unwrap_or_default();
    let seconds = words
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("siov.patience="))
        .find_map(|value| value.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Calls `check` until it yields something.
///
/// # Errors
///
/// The first error of `check`, or one that names `what` after [`patience`].
pub fn until<T>(what: &str, check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(patience(), what, check)
}

/// [`until`] with a bound of its own.
///
/// # Errors
///
/// As [`until`].
pub fn until_within<T>(
    bound: Duration,
    what: &str,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = check()? {
            return Ok(found);
        }
        if start.elapsed() > bound {
            anyhow::bail!("waited {} s in vain: {what}", bound.as_secs());
        }
        sleep(Duration::from_millis(2));
    }
}

/// Waits until `check` is true.
///
/// # Errors
///
/// As [`until`].
pub fn until_true(what: &str, mut check: impl FnMut() -> Result<bool>) -> Result {
    until(what, || Ok(check()?.then_some(())))
}
