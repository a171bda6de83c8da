// SPDX-License-Identifier: GPL-2.0

//! What a user may try.

use crate::alone;
use crate::context::{page, Context, IOVA, MEDIATED, PAGES};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::adi::{eventfd, signals, VECTOR_COMPLETION, VECTOR_FAULT};
use siov_kselftests::ktap::Result;
use siov_kselftests::mdev::Mdev;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::siov_testdev::crc32c;
use siov_kselftests::siov_testdev::regs::user::offset;
use siov_kselftests::siov_testdev::regs::{Completion, Descriptor};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{poll, sysfs, PAGE};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use vfio_bindings::bindings::vfio as uapi;

const NONE: u32 = uapi::VFIO_IRQ_SET_DATA_NONE;
const BOOL: u32 = uapi::VFIO_IRQ_SET_DATA_BOOL;
const EVENTFD: u32 = uapi::VFIO_IRQ_SET_DATA_EVENTFD;
const MASK: u32 = uapi::VFIO_IRQ_SET_ACTION_MASK;
const TRIGGER: u32 = uapi::VFIO_IRQ_SET_ACTION_TRIGGER;
const MSIX: u32 = uapi::VFIO_PCI_MSIX_IRQ_INDEX;
const NO_FILE: u32 = 99_999;

/// Answers as those of vfio-pci; a call that fails changes nothing.
pub fn interrupts(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let device = &user.adi.device;
    let events = [VECTOR_FAULT, VECTOR_COMPLETION].map(|vector| user.adi.listen(vector));
    let [fault, completion] = events;
    let (fault, completion) = (fault?, completion?);
    let other = eventfd()?;
    let fd = other.as_fd().as_raw_fd() as u32;
    let no_eventfd = user.container.as_fd().as_raw_fd() as u32;

    for (what, errno, words) in [
        (
            "no such index",
            Errno::EINVAL,
            [24, EVENTFD | TRIGGER, 5, 0, 1, fd],
        ),
        (
            "the last index",
            Errno::EINVAL,
            [24, EVENTFD | TRIGGER, !0, 0, 1, fd],
        ),
        (
            "an index without interrupts",
            Errno::EINVAL,
            [24, EVENTFD | TRIGGER, 0, 0, 1, fd],
        ),
        (
            "behind the last",
            Errno::EINVAL,
            [24, EVENTFD | TRIGGER, MSIX, 2, 1, fd],
        ),
        (
            "the last start",
            Errno::EINVAL,
            [24, EVENTFD | TRIGGER, MSIX, !0, 1, fd],
        ),
        (
            "one too many",
            Errno::EINVAL,
            [32, EVENTFD | TRIGGER, MSIX, 1, 2, fd],
        ),
        (
            "very many",
            Errno::EINVAL,
            [!0, EVENTFD | TRIGGER, MSIX, 0, !0, fd],
        ),
        (
            "an end that wraps",
            Errno::EINVAL,
            [!0, NONE | TRIGGER, MSIX, 1, !0, fd],
        ),
        (
            "a short header",
            Errno::EINVAL,
            [19, NONE | TRIGGER, MSIX, 0, 1, fd],
        ),
        (
            "data that is cut off",
            Errno::EINVAL,
            [27, EVENTFD | TRIGGER, MSIX, 0, 2, fd],
        ),
        (
            "two kinds of data",
            Errno::EINVAL,
            [32, EVENTFD | BOOL | TRIGGER, MSIX, 0, 1, fd],
        ),
        (
            "no kind of data",
            Errno::EINVAL,
            [32, TRIGGER, MSIX, 0, 1, fd],
        ),
        (
            "unknown flags",
            Errno::EINVAL,
            [24, 0x40 | NONE | TRIGGER, MSIX, 0, 1, fd],
        ),
        ("no action", Errno::ENOTTY, [24, NONE, MSIX, 0, 1, fd]),
        ("masking", Errno::ENOTTY, [24, NONE | MASK, MSIX, 0, 1, fd]),
        (
            "two actions",
            Errno::ENOTTY,
            [24, NONE | MASK | TRIGGER, MSIX, 0, 1, fd],
        ),
        (
            "no file",
            Errno::EBADF,
            [24, EVENTFD | TRIGGER, MSIX, 0, 1, NO_FILE],
        ),
        (
            "no eventfd",
            Errno::EINVAL,
            [24, EVENTFD | TRIGGER, MSIX, 0, 1, no_eventfd],
        ),
    ] {
        let [argsz, flags, index, start, count, fd] = words;
        let result = device.set_irqs([argsz, flags, index, start, count, fd, fd, 0]);
        sysfs::expect_errno(result, errno, what)?;
    }
    // The second one of two does not exist.
    let half = device.set_irqs([28, EVENTFD | TRIGGER, MSIX, 0, 2, fd, NO_FILE, 0]);
    sysfs::expect_errno(half, Errno::EBADF, "the second one of two")?;

    let fire = |count: u32| device.set_irqs([20, NONE | TRIGGER, MSIX, 0, count, 0, 0, 0]);
    fire(2)?;
    let heard = [signals(&fault)?, signals(&completion)?, signals(&other)?];
    ensure!(heard == [1, 1, 0], "{heard:?}");
    // One flag of a byte for each.
    device.set_irqs([22, BOOL | TRIGGER, MSIX, 0, 2, 0x0100, 0, 0])?;
    let heard = [signals(&fault)?, signals(&completion)?, signals(&other)?];
    ensure!(heard == [0, 1, 0], "{heard:?}");
    // All of them go, whatever the start says.
    device.set_irqs([20, NONE | TRIGGER, MSIX, 1, 0, 0, 0, 0])?;
    fire(2)?;
    let heard = [signals(&fault)?, signals(&completion)?, signals(&other)?];
    ensure!(heard == [0, 0, 0], "{heard:?}");

    // The next user does not signal what the last one has set.
    let old = user.adi.listen(VECTOR_COMPLETION)?;
    drop(user);
    let next = alone(&mdev.0)?;
    next.adi
        .device
        .set_irqs([20, NONE | TRIGGER, MSIX, 0, 2, 0, 0, 0])?;
    ensure!(signals(&old)? == 0, "the last user hears of the next");
    Ok(())
}

/// Offsets that reach out of a region or into none.
pub fn places(c: &mut Context) -> Result {
    const SHIFT: u32 = 40;
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let device = &user.adi.device;
    let config = u64::from(uapi::VFIO_PCI_CONFIG_REGION_INDEX) << SHIFT;
    let mut bytes = [0; 64];
    for (what, at) in [
        ("behind the page", PAGE as u64),
        ("far behind the page", (1 << SHIFT) - 8),
        ("a BAR that does not exist", 2 << SHIFT),
        ("the expansion ROM", 6 << SHIFT),
        ("behind the configuration space", config + 256),
        ("behind the last region", 10 << SHIFT),
        ("a region with a large number", i64::MAX as u64 & !0xfff),
    ] {
        let read = device.read_file(at, &mut bytes);
        sysfs::expect_errno(read, Errno::EINVAL, &format!("reading {what}"))?;
        let written = device.write_file(at, &bytes);
        sysfs::expect_errno(written, Errno::EINVAL, &format!("writing {what}"))?;
        let len = PAGE as u64;
        let map = device.map_region_part(0, at & !(len - 1), PAGE);
        if at & !(len - 1) != 0 {
            sysfs::expect_errno(map, Errno::EINVAL, &format!("mapping {what}"))?;
        }
    }
    let private = device.map_bar_private(0);
    sysfs::expect_errno(private, Errno::EINVAL, "a copy of registers")?;
    // What reaches out is cut off.
    let read = device.read_file(config + 256 - 24, &mut bytes)?;
    ensure!(read == 24, "{read} bytes at the end of configuration space");
    let written = device.write_file(config + 256 - 24, &bytes)?;
    ensure!(
        written == 24,
        "{written} bytes at the end of configuration space"
    );
    // Registers take words of four and eight bytes.
    for (at, len) in [(0, 2), (1, 4), (6, 1)] {
        let read = device.read_file(at, &mut bytes[..len]);
        sysfs::expect_errno(read, Errno::EINVAL, "reading a piece of a register")?;
    }
    Ok(())
}

/// How often the user's memory is mapped, one behind the other: a descriptor goes through all of
/// it.
const TIMES: usize = 512;
const RING_ORDER: u32 = 10;

/// Another process: has an ADI in software work for hours, in one write to its page.
pub fn work_for_ever(uuid: &str) -> Result {
    let mut container = Container::new()?;
    let device: Device = container.add_mdev(&Mdev::named(uuid))?;
    device.set_bus_master(true)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    for index in 0..TIMES {
        let at = page(index * PAGES);
        container.map(at, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    }
    let descriptor = crc32c(IOVA, TIMES * PAGES * PAGE).to_bytes();
    for at in (0..PAGES * PAGE).step_by(Descriptor::BYTES) {
        memory.write(at, &descriptor);
    }
    device.write(0, offset::RING_BASE, &IOVA.to_le_bytes())?;
    device.write(0, offset::RING_ORDER, &RING_ORDER.to_le_bytes())?;
    println!("working");
    device.write(
        0,
        offset::RING_TAIL,
        &((1u32 << RING_ORDER) - 1).to_le_bytes(),
    )?;
    let mut record = [0; Completion::BYTES];
    device.read(0, offset::COMPLETION, &mut record)?;
    anyhow::bail!("the work has ended: {:x?}", Completion::from_bytes(&record))
}

/// The work of an ADI in software is done in the user's own call. Whoever is killed gets no more
/// pages pinned, so that ends, too.
pub fn endless(c: &mut Context) -> Result {
    /// Ticks of 10 ms that the process spends in the kernel for its work, and for nothing else.
    const TICKS: u64 = 50;
    let mdev = c.create_as(MEDIATED)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["endless", mdev.0.uuid()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().context("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "working\n", "{line:?}");
    let ticks = || -> Result<u64> {
        let stat = sysfs::read(format!("/proc/{}/stat", child.id()))?;
        let (_, behind) = stat.rsplit_once(')').context("stat")?;
        Ok(behind
            .split_whitespace()
            .nth(12)
            .context("stime")?
            .parse()?)
    };
    let before = ticks()?;
    poll::until_true("the process is at work", || Ok(ticks()? >= before + TICKS))?;
    child.kill()?;
    let status = poll::until("the process ends", || Ok(child.try_wait()?))?;
    ensure!(!status.success(), "{status}");
    poll::until("the device can be opened again", || {
        let mut container = Container::new()?;
        Ok(container.add_mdev(&mdev.0).ok())
    })?;
    Ok(())
}
