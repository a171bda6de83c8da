// SPDX-License-Identifier: GPL-2.0

//! A parent that loses its state while users have its ADIs open: each user is told by the error
//! eventfd, the ADI does nothing until VFIO_DEVICE_RESET, and then all of it works again.

use crate::alone;
use crate::context::{page, Context as Parent, User, PAGES};
use crate::faults::stray;
use anyhow::ensure;
use serde_json::json;
use siov_kselftests::adi::{signals, EventFd};
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, Plan, Result};
use siov_kselftests::monitor::Monitor;
use siov_kselftests::pattern::expect_equal;
use siov_kselftests::siov_testdev::copy;
use siov_kselftests::siov_testdev::regs::user::Status;
use siov_kselftests::{poll, sysfs, PAGE};
use std::process::ExitCode;

struct Context {
    parent: Parent,
    monitor: Monitor,
}

pub fn plan() -> ExitCode {
    let setup = || {
        Ok(Context {
            parent: Parent::new()?,
            monitor: Monitor::open()?,
        })
    };
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("the parent is reset", reset)
            .case(
                "a user that listens for errors too late is told",
                heard_late,
            )
            .case("the parent's port reports an error", error)
            .case("the machine sleeps", sleep)
            .case("the machine begins to sleep and does not", called_off)
            .run()
    })
}

fn works(user: &User, seed: u64) -> Result {
    let data = user.put(0, seed);
    user.adi.succeed(&copy(page(0), page(PAGES / 2), PAGE))?;
    expect_equal("the copy", &user.get(PAGES / 2), &data)
}

fn told(error: &EventFd) -> Result {
    poll::until_true(
        "the error eventfd is signalled",
        || Ok(signals(error)? != 0),
    )
}

/// The ADI is dead, also for a user that switches bus mastering off and on, and a reset of it
/// brings it back, with its faults.
fn comes_back(user: &User, seed: u64) -> Result {
    let dead = |when: &str| -> Result {
        let status = user.adi.status();
        ensure!(!status.contains(Status::READY), "it is {status:?} {when}");
        Ok(())
    };
    dead("at first")?;
    for on in [false, true] {
        user.adi.device.set_bus_master(on)?;
    }
    dead("with bus mastering on again")?;
    user.adi.device.reset()?;
    user.adi.device.set_bus_master(true)?;
    works(user, seed)?;
    let heard = user.adi.listen_for_faults()?;
    stray(user)?;
    told(&heard)?;
    works(user, seed + 1)
}

/// Two users, one of them idle, whose parent loses its state by `lose`.
fn survive(c: &mut Context, seed: u64, lose: impl FnOnce(&mut Context) -> Result) -> Result {
    let mdevs = [c.parent.create()?, c.parent.create()?];
    let users = [alone(&mdevs[0].0)?, alone(&mdevs[1].0)?];
    works(&users[0], seed)?;
    let errors = [
        users[0].adi.listen_for_faults()?,
        users[1].adi.listen_for_faults()?,
    ];
    lose(c)?;
    for error in &errors {
        told(error)?;
    }
    for user in &users {
        comes_back(user, seed + 1)?;
    }
    // And for who comes next.
    drop(users);
    let next = alone(&mdevs[0].0)?;
    works(&next, seed + 2)
}

fn reset(c: &mut Context) -> Result {
    survive(c, 10, |c| {
        sysfs::write(c.parent.function.path("reset"), "1")
    })
}

fn heard_late(c: &mut Context) -> Result {
    let mdev = c.parent.create()?;
    let user = alone(&mdev.0)?;
    sysfs::write(c.parent.function.path("reset"), "1")?;
    told(&user.adi.listen_for_faults()?)?;
    user.adi.device.reset()?;
    // That is over with.
    let error = user.adi.listen_for_faults()?;
    ensure!(signals(&error)? == 0, "told after the reset");
    Ok(())
}

fn error(c: &mut Context) -> Result {
    survive(c, 30, |c| {
        let mut log = KernelLog::from_now()?;
        let line = "pcie_aer_inject_error port1 DLP";
        c.monitor
            .execute("human-monitor-command", json!({ "command-line": line }))?;
        log.wait_for(&["device recovery successful"])?;
        Ok(())
    })
}

/// Devices are suspended and resumed, and do not lose power.
fn called_off(c: &mut Context) -> Result {
    survive(c, 50, |_| {
        sysfs::write("/sys/power/pm_test", "devices")?;
        let slept = sysfs::write("/sys/power/state", "mem");
        sysfs::write("/sys/power/pm_test", "none")?;
        slept
    })
}

fn sleep(c: &mut Context) -> Result {
    survive(c, 40, |_| siov_kselftests::power::sleep())
}
