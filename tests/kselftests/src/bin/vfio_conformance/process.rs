// SPDX-License-Identifier: GPL-2.0

//! What becomes of mappings, and of what a process pays for them, when it has no privileges, forks,
//! runs another program, or is killed.

use crate::raw::*;
use crate::Devices;
use anyhow::{ensure, Context};
use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::pipe;
use siov_kselftests::child::{drop_ipc_lock, in_child, spawn};
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};

const RW: u32 = MAP_READ | MAP_WRITE;
const AT: u64 = 0x10_0000;

pub fn memory_limit(devices: &Devices) -> Result<Vec<String>> {
    in_child(|| {
        let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
        let mut e = Session::with(&[&devices.emulated[0]], TYPE1V2)?;
        let memory = Mapping::memory(1024 * PAGE as usize)?;
        let base = memory.address();
        drop_ipc_lock()?;
        for pages in [0, 1, 7, 600] {
            setrlimit(
                Resource::RLIMIT_MEMLOCK,
                pages * PAGE,
                pages * PAGE + 4096 * PAGE,
            )?;
            s.note(format!("limit {pages} pages"));
            for size in [1, 2, 7, 8, 512, 600, 601, 1024] {
                s.map(RW, base, base, AT, size * PAGE);
                s.account()?;
                s.unmap(0, AT, size * PAGE);
                s.account()?;
            }
            // Several that exceed it together.
            for index in 0..8 {
                s.map(RW, base, base, AT + index * 128 * PAGE, 100 * PAGE);
                s.account()?;
            }
            s.unmap(UNMAP_ALL, 0, 0);
            // A driver's pins, which nobody has paid for.
            e.map(RW, base, base, AT, 16 * PAGE);
            e.account()?;
            e.pin(0, AT, 8, 3);
            e.account()?;
            e.pin(0, AT, 7, 3);
            e.account()?;
            e.unmap(0, AT, 16 * PAGE);
            e.account()?;
        }
        s.lines.append(&mut e.lines);
        Ok(s.lines)
    })
}

/// A container of the parent in the hands of its child, which has other memory.
pub fn forked(devices: &Devices) -> Result<Vec<String>> {
    let mut s = Session::with(&[&devices.functions[0], &devices.emulated[0]], TYPE1V2)?;
    let memory = Mapping::memory(16 * PAGE as usize)?;
    let base = memory.address();
    s.map(RW, base, base, AT, 8 * PAGE);
    s.pin(1, AT, 2, 3);
    s.account()?;
    let mut lines = std::mem::take(&mut s.lines);
    lines.extend(in_child(|| {
        s.account()?;
        s.map(RW, base, base, 2 * AT, 4 * PAGE);
        s.account()?;
        s.rw(1, AT, 8, None);
        s.rw(1, 2 * AT, 8, None);
        s.pin(1, AT + 4 * PAGE, 2, 3);
        s.unmap(0, AT, 8 * PAGE);
        s.account()?;
        Ok(std::mem::take(&mut s.lines))
    })?);
    // The child is gone, its mapping is not.
    s.account()?;
    s.rw(1, 2 * AT, 8, None);
    s.pin(1, 2 * AT, 1, 3);
    s.info(1024);
    s.unmap(UNMAP_ALL, 0, 0);
    s.account()?;
    lines.extend(s.lines);
    Ok(lines)
}

/// The owner of a mapping changes with its address.
pub fn handed_over(devices: &Devices) -> Result<Vec<String>> {
    let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    let memory = Mapping::memory(16 * PAGE as usize)?;
    let base = memory.address();
    s.map(RW, base, base, AT, 8 * PAGE);
    s.account()?;
    s.unmap(UNMAP_VADDR, AT, 8 * PAGE);
    let mut lines = std::mem::take(&mut s.lines);
    lines.extend(in_child(|| {
        drop_ipc_lock()?;
        setrlimit(Resource::RLIMIT_MEMLOCK, 7 * PAGE, 64 * PAGE)?;
        s.map(MAP_VADDR, base, base, AT, 8 * PAGE);
        s.account()?;
        setrlimit(Resource::RLIMIT_MEMLOCK, 8 * PAGE, 64 * PAGE)?;
        s.map(MAP_VADDR, base, base, AT, 8 * PAGE);
        s.account()?;
        Ok(std::mem::take(&mut s.lines))
    })?);
    s.account()?;
    s.unmap(UNMAP_VADDR, AT, 8 * PAGE);
    s.map(MAP_VADDR, base, base, AT, 8 * PAGE);
    s.account()?;
    s.unmap(0, AT, 8 * PAGE);
    s.account()?;
    lines.extend(s.lines);
    Ok(lines)
}

/// This program runs itself with the container's descriptor: new memory, the same process.
pub fn executed(devices: &Devices) -> Result<Vec<String>> {
    in_child(|| {
        let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
        let memory = Mapping::memory(16 * PAGE as usize)?;
        s.map(RW, memory.address(), memory.address(), AT, 8 * PAGE);
        s.account()?;
        let container = s.container.as_raw_fd();
        let device = s.opened[0].device.as_ref().context("device")?;
        for file in [&s.container, s.opened[0].group(), device] {
            fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let output = std::process::Command::new("/proc/self/exe")
            .args(["--inherited", &container.to_string()])
            .output()?;
        let mut lines = std::mem::take(&mut s.lines);
        lines.extend(
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned),
        );
        Ok(lines)
    })
}

/// The other half of [`executed`].
pub fn inherited(container: i32) -> Result<Vec<String>> {
    let mut s = Session {
        // SAFETY: Handed down by the parent.
        container: unsafe { File::from_raw_fd(container) },
        opened: Vec::new(),
        lines: Vec::new(),
        mapped: Vec::new(),
        handed_out: false,
    };
    let memory = Mapping::memory(16 * PAGE as usize)?;
    let base = memory.address();
    s.account()?;
    s.map(RW, base, base, 2 * AT, 4 * PAGE);
    s.account()?;
    s.unmap(0, AT, 8 * PAGE);
    s.account()?;
    s.unmap(0, 2 * AT, 4 * PAGE);
    s.account()?;
    Ok(s.lines)
}

/// Killed while it maps and unmaps: nothing stays pinned, and the device can be used again.
pub fn killed(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for round in 0..10u32 {
        let (from, to) = pipe()?;
        let to = File::from(to);
        let endless = || -> Result {
            let nodes = [&devices.functions[0], &devices.emulated[0]];
            let mut s = Session::with(&nodes, TYPE1V2)?;
            let memory = Mapping::memory(2048 * PAGE as usize)?;
            loop {
                for index in 0..4 {
                    s.map_raw(
                        32,
                        RW,
                        memory.address(),
                        AT + index * 0x100_0000,
                        2048 * PAGE,
                    )
                    .ok();
                }
                s.pin(1, AT, 16, 3);
                // The parent counts rounds.
                (&to).write_all(&[1])?;
                s.unmap(UNMAP_ALL, 0, 0);
                s.lines.clear();
            }
        };
        let child = spawn(|| endless().map_or(1, |()| 0))?;
        drop(to);
        let mut bytes = vec![0; 1 + round as usize];
        File::from(from).read_exact(&mut bytes)?;
        kill(child, Signal::SIGKILL)?;
        ensure!(
            matches!(waitpid(child, None)?, WaitStatus::Signaled(..)),
            "the child was not killed"
        );
        let mut s = Session::with(&[&devices.functions[0], &devices.emulated[0]], TYPE1V2)?;
        s.account()?;
        lines.append(&mut s.lines);
    }
    Ok(lines)
}
