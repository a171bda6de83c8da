// SPDX-License-Identifier: GPL-2.0

//! The frames of physical memory behind a piece of this process's memory: how far they are in
//! order, which decides how many runs a driver that pins them sees.

use crate::ktap::Result;
use crate::PAGE;
use anyhow::Context;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// How many runs of frames that follow each other are behind `len` bytes at `address`, which are
/// present (Documentation/admin-guide/mm/pagemap.rst in the kernel).
///
/// # Errors
///
/// Those of procfs.
pub fn runs(address: u64, len: usize) -> Result<usize> {
    /// Bits of an entry that are the frame's number.
    const FRAME: u64 = (1 << 55) - 1;
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut entries = vec![0; len / PAGE * 8];
    pagemap.read_exact_at(&mut entries, address / PAGE as u64 * 8)?;
    let frames: Vec<u64> = entries
        .chunks_exact(8)
        .map(|entry| Ok(u64::from_le_bytes(entry.try_into()?) & FRAME))
        .collect::<Result<_>>()?;
    let breaks = frames.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    Ok(1 + breaks.count())
}

/// Has the kernel split the transparent huge pages behind `len` bytes at `address` into base pages,
/// which leaves their frames in order (Documentation/admin-guide/mm/transhuge.rst in the kernel).
///
/// # Errors
///
/// Those of debugfs.
pub fn split(address: u64, len: usize) -> Result {
    let request = format!(
        "{},{address:#x},{:#x}",
        std::process::id(),
        address + len as u64
    );
    fs::write("/sys/kernel/debug/split_huge_pages", request).context("split_huge_pages")
}
