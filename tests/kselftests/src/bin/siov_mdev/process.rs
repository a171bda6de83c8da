// SPDX-License-Identifier: GPL-2.0

//! Users that fork, run another program, or may not lock memory up: what becomes of their mappings,
//! and of what they pay for them.

use crate::alone;
use crate::context::{page, Context, User, IOVA, PAGES};
use anyhow::ensure;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use siov_kselftests::adi::UserAdi;
use siov_kselftests::child::{drop_ipc_lock, in_child, locked_kib, pinned_pages, spawn};
use siov_kselftests::ktap::{expect_console, expect_faults, note, Result};
use siov_kselftests::mdev::Mdev;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::siov_testdev::regs::CompletionStatus;
use siov_kselftests::siov_testdev::{copy, fill};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{poll, stats, sysfs, PAGE};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where a second user of the container maps its memory.
const OTHER: u64 = 4 * IOVA;
const SEED: u64 = 70;
const ALL_KIB: u64 = (PAGES * PAGE / 1024) as u64;

fn expect_locked(kib: u64) -> Result {
    let locked = locked_kib()?;
    ensure!(locked == kib, "locked {locked} KiB, expected {kib}");
    Ok(())
}

/// This program again, with other arguments.
fn again(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments);
    command
}

/// Runs this program again, which must end well, and checks that it leaves no page pinned, and that
/// `mdev` can be opened.
fn run_again(mdev: &Mdev, arguments: &[&str]) -> Result {
    let before = pinned_pages()?;
    let output = again(arguments).output()?;
    let words = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{arguments:?}: {words}");
    ensure!(words.ends_with("done\n"), "{arguments:?}: {words}");
    let user = poll::until("the device can be opened again", || Ok(alone(mdev).ok()))?;
    let data = user.put(0, SEED + 9);
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    expect_equal("the copy", &user.get(1), &data)?;
    drop(user);
    poll::until_true("no page stays pinned", || Ok(pinned_pages()? == before))
}

/// The child has the device as well, but the memory behind the mapping stays the parent's.
pub fn forks(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let data = user.put(0, SEED);
    let before = user.put(1, SEED + 1);
    let theirs = in_child(|| {
        // A copy that the device does not know.
        user.put(0, SEED + 2);
        user.adi.succeed(&copy(page(0), page(1), PAGE))?;
        expect_equal("the child's page", &user.get(1), &before)?;
        expect_locked(0)?;
        let own = Mapping::memory(PAGE)?;
        user.container
            .map(OTHER, &own, 0, PAGE, Access::ReadWrite)?;
        expect_locked(PAGE as u64 / 1024)?;
        user.adi.succeed(&copy(page(0), OTHER, PAGE))?;
        expect_equal("what the child maps", &own.read(0, PAGE), &data)?;
        Ok(vec!["done".to_owned()])
    })?;
    ensure!(theirs == ["done"], "{theirs:?}");
    expect_equal("the parent's page", &user.get(1), &data)?;
    expect_locked(ALL_KIB)?;
    // The child is gone; its page stays until somebody unmaps it.
    user.adi.succeed(&copy(OTHER, page(3), PAGE))?;
    expect_equal("the child's page", &user.get(3), &data)?;
    user.container.unmap(OTHER, PAGE)?;
    expect_locked(ALL_KIB)?;
    expect_faults(4);
    let stale = user.adi.execute(&copy(OTHER, page(3), PAGE))?;
    ensure!(stale.status == CompletionStatus::Fault, "{stale:x?}");
    Ok(())
}

/// Another program takes the process over, with the descriptors or without.
pub fn executes(c: &mut Context) -> Result {
    let mdev = c.create()?;
    run_again(&mdev.0, &["exec", mdev.0.uuid()])?;
    run_again(&mdev.0, &["exec-handing-down", mdev.0.uuid()])
}

/// A process that [`executes`] starts: opens the device, and runs another program in its place.
pub fn exec(uuid: &str, hand_down: bool) -> Result {
    let user = User::new(&Mdev::named(uuid))?;
    user.put(0, SEED);
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    expect_locked(ALL_KIB)?;
    if !hand_down {
        return Err(again(&["reopen", uuid]).exec().into());
    }
    let fds = [user.container.as_fd(), user.adi.device.as_fd()];
    for fd in fds {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    let [container, device] = fds.map(|fd| fd.as_raw_fd().to_string());
    Err(again(&["handed-down", &container, &device]).exec().into())
}

/// The program that comes after: nothing is left of what it has not got.
pub fn reopen(uuid: &str) -> Result {
    expect_locked(0)?;
    let mdev = Mdev::named(uuid);
    let user = poll::until("the device can be opened again", || {
        Ok(User::new(&mdev).ok())
    })?;
    expect_locked(ALL_KIB)?;
    let data = user.put(0, SEED + 3);
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    expect_equal("the copy", &user.get(1), &data)
}

/// The program that comes after, and gets the descriptors: memory of the one before stays mapped,
/// and is not paid for.
pub fn handed_down(container: &str, device: &str) -> Result {
    let owned = |number: &str| -> Result<OwnedFd> {
        // SAFETY: `exec` has left them open for this program, which knows of them from here only.
        Ok(unsafe { OwnedFd::from_raw_fd(number.parse()?) })
    };
    let container = Container::handed_down(owned(container)?);
    let adi = UserAdi::of_device(Device::handed_down(owned(device)?))?;
    expect_locked(0)?;
    let own = Mapping::memory(PAGE)?;
    container.map(OTHER, &own, 0, PAGE, Access::ReadWrite)?;
    expect_locked(PAGE as u64 / 1024)?;
    adi.succeed(&copy(page(1), OTHER, PAGE))?;
    expect_equal("memory from before", &own.read(0, PAGE), &bytes(PAGE, SEED))?;
    container.unmap(IOVA, PAGES * PAGE)?;
    expect_locked(PAGE as u64 / 1024)?;
    container.unmap(OTHER, PAGE)?;
    expect_locked(0)
}

/// A user who is killed while it maps much memory does not map the rest first.
pub fn killed_while_mapping(c: &mut Context) -> Result {
    const LEN: usize = 128 << 20;
    const ALL: i64 = (LEN / PAGE) as i64;
    const ATTEMPTS: usize = 5;
    let acquired = || stats::vmstat("nr_foll_pin_acquired");
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let pinned = pinned_pages()?;
    for attempt in 1..=ATTEMPTS {
        let before = acquired()?;
        let child = spawn(|| {
            let mapped = Mapping::memory(LEN).and_then(|memory| {
                user.container
                    .map(OTHER, &memory, 0, LEN, Access::ReadWrite)
            });
            eprintln!("{mapped:?}");
            1
        })?;
        poll::until_true("pages are pinned", || Ok(acquired()? - before > ALL / 64))?;
        kill(child, Signal::SIGKILL)?;
        waitpid(child, None)?;
        let count = acquired()? - before;
        note(format!("{count} of {ALL} pages"));
        let _ = user.container.unmap(OTHER, LEN);
        let now = pinned_pages()?;
        ensure!(now == pinned, "{now} pages are pinned, {pinned} before");
        if count < ALL {
            return Ok(());
        }
        note(format!("attempt {attempt}: all of them"));
    }
    anyhow::bail!("killed {ATTEMPTS} times, all was mapped each time")
}

/// A user who may lock less memory up than it maps.
pub fn limited(c: &mut Context) -> Result {
    let mdev = c.create()?;
    expect_console("RLIMIT_MEMLOCK");
    expect_faults(4);
    run_again(&mdev.0, &["limited", mdev.0.uuid()])
}

/// The process that [`limited`] starts.
pub fn map_beyond_limit(uuid: &str) -> Result {
    const FIT: usize = PAGES / 2;
    let user = User::new(&Mdev::named(uuid))?;
    user.container.unmap(IOVA, PAGES * PAGE)?;
    drop_ipc_lock()?;
    let limit = (FIT * PAGE) as u64;
    setrlimit(Resource::RLIMIT_MEMLOCK, limit, limit)?;
    let pinned = pinned_pages()?;
    let whole = user
        .container
        .map(IOVA, &user.memory, 0, PAGES * PAGE, Access::ReadWrite);
    sysfs::expect_errno(whole, Errno::ENOMEM, "mapping beyond the limit")?;
    expect_locked(0)?;
    let now = pinned_pages()?;
    ensure!(now == pinned, "{now} pages pinned, {pinned} before");
    let before = user.put(0, SEED);
    let refused = user.adi.execute(&fill(page(0), PAGE, 0))?;
    ensure!(refused.status == CompletionStatus::Fault, "{refused:x?}");
    expect_equal("memory", &user.get(0), &before)?;

    user.container
        .map(IOVA, &user.memory, 0, FIT * PAGE, Access::ReadWrite)?;
    expect_locked((FIT * PAGE / 1024) as u64)?;
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    expect_equal("the copy", &user.get(1), &before)
}
