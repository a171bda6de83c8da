// SPDX-License-Identifier: GPL-2.0

//! Many hands at once.

use crate::{load_samples, unload_samples};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::kernel_module::{load_file, unload};
use siov_kselftests::ktap::{note, Result};
use siov_kselftests::mdev::{uuid, Mdev, Parent, BUS};
use siov_kselftests::sysfs;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

const TYPE: &str = "mtty-1";
/// `MAX_MTTYS` of the driver.
const PORTS: u32 = 24;

fn devices() -> Result<usize> {
    Ok(fs::read_dir(BUS)?.count())
}

/// An error that a race may end with.
fn expected(error: &anyhow::Error, allowed: &[Errno]) -> bool {
    let number = sysfs::errno(error);
    allowed.iter().any(|errno| number == Some(*errno as i32))
}

/// Four threads, each with its own names: nothing may fail. What one removes is removed by another
/// as well, once.
pub fn create_remove(_: &mut ()) -> Result {
    load_samples()?;
    let parent = Parent::find("mtty")?;
    thread::scope(|scope| -> Result {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let parent = &parent;
                scope.spawn(move || -> Result {
                    for round in 0..100 {
                        let mdev = parent.create(TYPE, &uuid(1000 * thread + round))?;
                        let other = mdev.clone();
                        let rival = thread::spawn(move || other.remove());
                        let (mine, other) = (mdev.remove(), rival.join());
                        let other = other.ok().context("a thread panicked")?;
                        for error in [&mine, &other].into_iter().filter_map(|r| r.as_ref().err()) {
                            // Opening what has gone would make a file.
                            let gone = [Errno::ENOENT, Errno::ENODEV, Errno::EACCES];
                            ensure!(expected(error, &gone), "remove: {error:#}");
                        }
                        ensure!(mine.is_ok() || other.is_ok(), "nobody removed it");
                        ensure!(!mdev.exists(), "{} stays", mdev.uuid());
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        Ok(())
    })?;
    ensure!(devices()? == 0, "{} devices left", devices()?);
    ensure!(
        parent.available(TYPE)? == PORTS,
        "{} ports left",
        parent.available(TYPE)?
    );
    unload_samples()
}

/// A driver is unloaded, and takes its parent along, while three threads make and remove devices.
pub fn unload_driver() -> Result {
    load_file("/siov/samples/mtty.ko", "")?;
    let parent = Parent::find("mtty")?;
    let (stop, made) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| -> Result {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (parent, stop, made) = (&parent, &stop, &made);
                scope.spawn(move || -> Result {
                    while !stop.load(Ordering::Relaxed) {
                        let name = uuid(thread);
                        // EEXIST while the driver removes what this thread was refused to.
                        let gone = [
                            Errno::ENOENT,
                            Errno::ENODEV,
                            Errno::EAGAIN,
                            Errno::EACCES,
                            Errno::EEXIST,
                        ];
                        match parent.create(TYPE, &name) {
                            Ok(mdev) => {
                                made.fetch_add(1, Ordering::Relaxed);
                                if let Err(error) = mdev.remove() {
                                    ensure!(expected(&error, &gone), "remove: {error:#}");
                                }
                            }
                            Err(error) => ensure!(expected(&error, &gone), "create: {error:#}"),
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        while made.load(Ordering::Relaxed) < 10 && threads.iter().all(|t| !t.is_finished()) {
            thread::yield_now();
        }
        let unloaded = unload("mtty");
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        unloaded
    })?;
    ensure!(devices()? == 0, "{} devices left", devices()?);
    Ok(())
}

/// [`unload_driver`], often.
pub fn unload_often(_: &mut ()) -> Result {
    for round in 0..10 {
        unload_driver().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// Four threads want one name: at any time one has it.
pub fn same_name(_: &mut ()) -> Result {
    load_samples()?;
    let parent = Parent::find("mtty")?;
    let (owned, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| -> Result {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (parent, owned, refused) = (&parent, &owned, &refused);
                scope.spawn(move || -> Result {
                    for _ in 0..100 {
                        match parent.create(TYPE, &uuid(7)) {
                            Ok(mdev) => release(&mdev, owned)?,
                            Err(error) => {
                                ensure!(expected(&error, &[Errno::EEXIST]), "{error:#}");
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        Ok(())
    })?;
    note(format!("{} times refused", refused.load(Ordering::Relaxed)));
    ensure!(devices()? == 0, "{} devices left", devices()?);
    ensure!(
        parent.available(TYPE)? == PORTS,
        "{} ports left",
        parent.available(TYPE)?
    );
    unload_samples()
}

fn release(mdev: &Mdev, owned: &AtomicU32) -> Result {
    ensure!(owned.fetch_add(1, Ordering::SeqCst) == 0, "two have it");
    owned.fetch_sub(1, Ordering::SeqCst);
    mdev.remove()
}
