// SPDX-License-Identifier: GPL-2.0

//! Users and devices that go without a word.

use crate::context::{page, Context, User, ADI};
use crate::{alone, work};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::adi::signals;
use siov_kselftests::child::pinned_pages;
use siov_kselftests::ktap::{note, Result};
use siov_kselftests::mdev::{uuid, Parent};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::expect_equal;
use siov_kselftests::siov_testdev::copy;
use siov_kselftests::stuck_page::StuckPage;
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{kernel_module, poll, sysfs, PAGE};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use vfio_bindings::bindings::vfio::VFIO_PCI_REQ_IRQ_INDEX;

/// Where further memory is mapped.
const OTHER: u64 = 0x4000_0000;

/// Another process: opens a device, says so, and keeps it busy.
pub fn work(name: &str) -> Result {
    let mdev = siov_kselftests::mdev::Mdev::named(name);
    let user = User::new(&mdev)?;
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    println!("working");
    work::keep_busy(&user)
}

pub fn killed(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let pinned = pinned_pages()?;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["work", mdev.0.uuid()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "working\n", "round {round}: {line:?}");
        child.kill()?;
        child.wait()?;

        // Closing takes what exiting leaves to others.
        let user = poll::until("the device can be opened again", || Ok(alone(&mdev.0).ok()))?;
        ensure!(
            user.adi.completed() == 0,
            "{} completed",
            user.adi.completed()
        );
        let data = user.put(0, 30);
        user.adi.succeed(&copy(page(0), page(1), PAGE))?;
        expect_equal("the copy", &user.get(1), &data)?;
    }
    poll::until_true("no page stays pinned", || Ok(pinned_pages()? == pinned))
}

/// Requests to a container whose last group leaves, with which VFIO takes its data away.
pub fn deprived(c: &mut Context) -> Result {
    const ROUNDS: usize = 20;
    let mdev = c.create()?;
    let mut user = alone(&mdev.0)?;
    let number = mdev.0.group()?;
    let container = user.container.as_fd().try_clone_to_owned()?;
    let same = Container::handed_down(container);
    let pinned = pinned_pages()?;
    let memory = Mapping::memory(64 * PAGE)?;
    let done = AtomicBool::new(false);
    drop(user.adi);
    let mapped = thread::scope(|scope| -> Result<usize> {
        let request = || {
            let mut mapped = 0;
            while !done.load(Ordering::Relaxed) {
                // There may be no driver, or another thread's mapping.
                let len = memory.len();
                mapped += usize::from(same.map(OTHER, &memory, 0, len, Access::ReadWrite).is_ok());
                let _ = same.unmap(OTHER, len);
            }
            mapped
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(request)).collect();
        let result = (0..ROUNDS).try_for_each(|_| {
            user.container.leave(number);
            user.container.add_mdev(&mdev.0).map(drop)
        });
        done.store(true, Ordering::Relaxed);
        let mapped = threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a thread panicked"))
            .sum::<Result<usize>>()?;
        result.map(|()| mapped)
    })?;
    note(format!("mapped {mapped} times"));
    user.container.leave(number);
    let now = pinned_pages()?;
    ensure!(now <= pinned, "{now} pages are pinned, {pinned} before");
    Ok(())
}

/// A request keeps the driver that works on it, also when its container has no group any more.
pub fn asleep(c: &mut Context) -> Result {
    const DRIVER: &str = "vfio_iommu_type1";
    let mdev = c.create()?;
    let mut user = alone(&mdev.0)?;
    let same = Container::handed_down(user.container.as_fd().try_clone_to_owned()?);
    drop(user.adi);
    let (place, page) = StuckPage::new()?;
    let request = thread::spawn(move || same.map_as_in(page));
    place.wait_for_fault()?;
    user.container.leave(mdev.0.group()?);
    sysfs::expect_errno(
        kernel_module::unload(DRIVER),
        Errno::EAGAIN,
        "unloading the driver of a request",
    )?;
    drop(place);
    // It finds zeros.
    let answer = request.join().ok().context("a thread panicked")?;
    sysfs::expect_errno(answer, Errno::EINVAL, "a request of no bytes")?;
    kernel_module::unload(DRIVER)?;
    kernel_module::load(DRIVER, "allow_unsafe_interrupts=1")
}

pub fn removed(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let asked = user.adi.listen_to(VFIO_PCI_REQ_IRQ_INDEX, 0)?;
    let path = mdev.0.clone();
    let remover = thread::spawn(move || path.remove());
    poll::until_true("the user is asked to go", || Ok(signals(&asked)? != 0))?;
    ensure!(!remover.is_finished(), "removed while open");
    // Until it does, all works.
    let data = user.put(0, 40);
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    expect_equal("the copy", &user.get(1), &data)?;
    drop(user);
    remover.join().ok().context("a thread panicked")??;
    ensure!(!mdev.0.exists(), "it stays");
    Ok(())
}

/// A user who has closed the device, but keeps its group in a container with memory.
pub fn group_stays(c: &mut Context) -> Result {
    let all = c.parent.available(ADI)?;
    let pinned = pinned_pages()?;
    let mdevs = [c.create()?, c.create()?];
    let mut users = [alone(&mdevs[0].0)?, alone(&mdevs[1].0)?];
    for user in &mut users {
        user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    }
    let containers = users.map(|user| (user.container, user.memory));
    mdevs[0].0.remove()?;
    sysfs::write(c.function.path("driver/unbind"), c.function.address())?;
    ensure!(!mdevs[1].0.exists(), "it stays");
    c.function.bind("siov_testdev")?;
    c.parent = Parent::find(c.function.address())?;
    ensure!(
        c.parent.available(ADI)? == all,
        "{}",
        c.parent.available(ADI)?
    );
    // While the old groups are still there.
    let again = c.parent.create(ADI, &uuid(5001))?;
    let user = alone(&again)?;
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    drop(containers);
    user.adi.succeed(&copy(page(0), page(2), PAGE))?;
    drop(user);
    again.remove()?;
    poll::until_true("no page stays pinned", || Ok(pinned_pages()? == pinned))
}

pub fn parent(c: &mut Context) -> Result {
    const DEVICES: usize = 16;
    let all = c.parent.available(ADI)?;
    let mdevs: Vec<_> = (0..DEVICES).map(|_| c.create()).collect::<Result<_>>()?;
    let users: Vec<_> = mdevs.iter().map(|m| alone(&m.0)).collect::<Result<_>>()?;
    let asked: Vec<_> = users
        .iter()
        .map(|user| user.adi.listen_to(VFIO_PCI_REQ_IRQ_INDEX, 0))
        .collect::<Result<_>>()?;

    let unbind = c.function.path("driver/unbind");
    let address = c.function.address().to_owned();
    let remover = thread::spawn(move || sysfs::write(unbind, &address));
    let mut users: Vec<_> = users.into_iter().map(Some).collect();
    poll::until_within(
        10 * poll::patience(),
        "all users are asked, one after the other",
        || {
            for (user, asked) in users.iter_mut().zip(&asked) {
                if user.is_some() && signals(asked)? != 0 {
                    *user = None;
                }
            }
            Ok(users.iter().all(Option::is_none).then_some(()))
        },
    )?;
    remover.join().ok().context("a thread panicked")??;
    for mdev in &mdevs {
        ensure!(!mdev.0.exists(), "{} stays", mdev.0.uuid());
    }
    ensure!(
        Parent::find(c.function.address()).is_err(),
        "the parent stays"
    );

    c.function.bind("siov_testdev")?;
    c.parent = Parent::find(c.function.address())?;
    ensure!(
        c.parent.available(ADI)? == all,
        "{}",
        c.parent.available(ADI)?
    );
    let again = c.parent.create(ADI, &uuid(5000))?;
    let user = alone(&again)?;
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    drop(user);
    again.remove()
}
