// SPDX-License-Identifier: GPL-2.0

//! Processes that share descriptors, and what the system says of the memory that they keep in
//! place.

use crate::ktap::Result;
use crate::sysfs;
use anyhow::{ensure, Context};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, pipe, ForkResult, Pid};
use std::fs::{self, File};
use std::io::{Read, Write};

const FAILED: &str = "failed: ";

/// Runs `work` in a child of this process, which ends with the status that it returns.
///
/// # Errors
///
/// Those of fork(2), or when this process has several threads.
pub fn spawn(work: impl FnOnce() -> i32) -> Result<Pid> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    ensure!(threads == 1, "{threads} threads, of which a child has one");
    // SAFETY: There is one thread, as was just counted, so no lock is held by another one in the
    // child.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let code = work();
            // SAFETY: May always be called. It ends the child without the parent's destructors.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => Ok(child),
    }
}

/// Runs `work` in a child of this process, which must have one thread, and returns the lines that
/// it returned.
///
/// # Errors
///
/// Those of `work`, or when the child dies.
pub fn in_child(work: impl FnOnce() -> Result<Vec<String>>) -> Result<Vec<String>> {
    let (from, to) = pipe()?;
    let to = File::from(to);
    let child = spawn(|| {
        let text = match work() {
            Ok(lines) => lines.join("\n"),
            Err(error) => format!("{FAILED}{error:#}"),
        };
        let _ = (&to).write_all(text.as_bytes());
        0
    })?;
    drop(to);
    let mut text = String::new();
    File::from(from).read_to_string(&mut text)?;
    ensure!(
        matches!(waitpid(child, None)?, WaitStatus::Exited(_, 0)),
        "the child died"
    );
    if let Some(error) = text.strip_prefix(FAILED) {
        anyhow::bail!("in a child: {error}");
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Gives the capability to lock any amount of memory up.
///
/// # Errors
///
/// Those of capset(2).
pub fn drop_ipc_lock() -> Result {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let mut data = [0u32; 6];
    for (call, what) in [(libc::SYS_capget, "capget"), (libc::SYS_capset, "capset")] {
        // SAFETY: Version 3 of the structure: two triples of 32 capabilities each.
        let ret = unsafe { libc::syscall(call, &header, data.as_mut_ptr()) };
        nix::errno::Errno::result(ret).context(what)?;
        // CAP_IPC_LOCK is 14; effective, permitted, inheritable.
        for set in &mut data[..3] {
            *set &= !(1 << 14);
        }
    }
    Ok(())
}

/// KiB that this process pays for.
///
/// # Errors
///
/// Those of procfs.
pub fn locked_kib() -> Result<u64> {
    let text = sysfs::read("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmLck:"));
    let words = line.context("VmLck")?.split_whitespace();
    Ok(words.take(2).last().context("VmLck")?.parse()?)
}

/// Pages that are pinned, in the whole system.
///
/// # Errors
///
/// Those of procfs.
pub fn pinned_pages() -> Result<i64> {
    // Counts of processors are folded into those of the system now and then, or now.
    let _ = fs::write("/proc/sys/vm/stat_refresh", "1");
    let text = sysfs::read("/proc/vmstat")?;
    let read = |name: &str| -> Result<i64> {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.context("vmstat")?.trim().parse()?)
    };
    Ok(read("nr_foll_pin_acquired ")? - read("nr_foll_pin_released ")?)
}
