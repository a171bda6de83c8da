// SPDX-License-Identifier: GPL-2.0

//! An NVMe disk, past the page cache: the controller reads and writes the buffers themselves.

use crate::ktap::Result;
use crate::mmio::Mapping;
use crate::pattern::{self, Words};
use crate::pci::Function;
use crate::poll;
use anyhow::Context;
use nix::sched::{sched_setaffinity, CpuSet};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most that one request transfers.
const MOST: usize = 256 << 10;

/// Unit of lengths and offsets.
const BLOCK: usize = 4096;

/// The block device of a controller that the nvme driver is bound to.
///
/// # Errors
///
/// When it does not appear.
pub fn block_device(controller: &Function) -> Result<PathBuf> {
    poll::until(&format!("a disk of {controller}"), || {
        let Ok(controllers) = fs::read_dir(controller.path("nvme")) else {
            return Ok(None);
        };
        for entry in controllers {
            let Ok(names) = fs::read_dir(entry?.path()) else {
                continue;
            };
            for name in names {
                // "nvme0n1"; with multipath the directory has "nvme0c0n1" instead.
                let name = name?.file_name().to_string_lossy().replacen("c0", "", 1);
                let path = Path::new("/dev").join(&name);
                if name.starts_with("nvme") && name.contains('n') && path.exists() {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    })
}

/// Writes pseudo-random data in requests of random lengths to random places of `disk` and reads it
/// back, with a thread on each of `threads` processors, each in a part of its own, until `duration`
/// is over, at least one round. Returns the number of bytes that were written and verified.
///
/// # Errors
///
/// The first failed request, or the first byte that is not what was written.
pub fn exercise(disk: &Path, threads: usize, duration: Duration, seed: u64) -> Result<u64> {
    let mut device = File::open(disk).with_context(|| disk.display().to_string())?;
    let size = device.seek(SeekFrom::End(0))?;
    let part = size / threads as u64 / BLOCK as u64 * BLOCK as u64;
    let end = Instant::now() + duration;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let start = part * index as u64;
                scope.spawn(move || {
                    pin_to(index)?;
                    part_of(disk, start, part, end, seed ^ index as u64)
                })
            })
            .collect();
        let mut total = 0;
        for worker in workers {
            total += worker
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(total)
    })
}

/// Runs the calling thread on one processor.
///
/// # Errors
///
/// Those of sched_setaffinity(2).
pub fn pin_to(cpu: usize) -> Result {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("processor {cpu}"))
}

fn part_of(disk: &Path, start: u64, len: u64, end: Instant, seed: u64) -> Result<u64> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    let file = options
        .open(disk)
        .with_context(|| disk.display().to_string())?;
    // Two buffers, so that stale contents of one cannot pass for what was read into the other.
    let (out, back) = (Mapping::memory(MOST)?, Mapping::memory(MOST)?);
    let mut words = Words::new(seed);
    let mut total = 0;
    loop {
        let blocks = 1 + words.below((MOST / BLOCK) as u64) as usize;
        let bytes = blocks * BLOCK;
        let places = (len - bytes as u64) / BLOCK as u64 + 1;
        let at = start + words.below(places) * BLOCK as u64;
        // Buffers that do not start at their first page: other addresses for each request.
        let skip = words.below(((MOST - bytes) / BLOCK + 1) as u64) as usize * BLOCK;

        let data = pattern::bytes(bytes, words.next_word());
        out.write(skip, &data);
        back.write(skip, &vec![0; bytes]);
        out.store(skip, bytes, &file, at)?;
        back.load(skip, bytes, &file, at)?;
        let what = format!("{} at {at:#x}", disk.display());
        pattern::expect_equal(&what, &back.read(skip, bytes), &data)?;
        total += bytes as u64;
        if Instant::now() >= end {
            return Ok(total);
        }
    }
}
