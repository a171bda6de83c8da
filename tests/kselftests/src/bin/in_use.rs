// SPDX-License-Identifier: GPL-2.0

//! `in_use exit|init driver|work`: what a module has forgotten, a driver or a work item, keeps its
//! memory after its end, or after its `init` has failed. The task that ended it does not return,
//! and the log says why. A driver would keep it without us, as sysfs has it in a folder of the
//! module's; but it shows that the code is there. Another test of the same guest cannot load the
//! module again.

use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_console, Plan, Result};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::{child, kernel_module, ktap, poll, sysfs};
use std::process::ExitCode;

const MODULE: &str = "in_use";

struct Context {
    edu: Function,
    log: KernelLog,
    init: bool,
    driver: bool,
    /// The task that ends the module.
    child: Option<Pid>,
}

fn setup() -> Result<Context> {
    let init = match std::env::args().nth(1).as_deref() {
        Some("exit") => false,
        Some("init") => true,
        other => anyhow::bail!("exit or init, not {other:?}"),
    };
    let driver = match std::env::args().nth(2).as_deref() {
        Some("driver") => true,
        Some("work") => false,
        other => anyhow::bail!("driver or work, not {other:?}"),
    };
    Ok(Context {
        edu: Function::first(EDU)?,
        log: KernelLog::from_now()?,
        init,
        driver,
        child: None,
    })
}

/// Nothing is left of a module that forgets nothing.
fn clean(c: &mut Context) -> Result {
    if c.init {
        let loaded = kernel_module::load(MODULE, "fail=1");
        expect_errno(loaded, Errno::EIO, "loading it with fail=1")?;
    } else {
        kernel_module::load(MODULE, "")?;
        kernel_module::unload(MODULE)?;
    }
    ensure!(!kernel_module::is_loaded(MODULE), "the module is loaded");
    ensure!(c.edu.driver().is_none(), "the driver is bound");
    ensure!(c.log.count(&["probed"])? == 1, "it was not probed once");
    ensure!(
        c.log.count(&["still registered"])? == 0,
        "a leak is reported"
    );
    Ok(())
}

/// Whether a child has ended.
fn has_ended(child: Pid) -> Result<bool> {
    let status = waitpid(child, Some(WaitPidFlag::WNOHANG))?;
    Ok(status != WaitStatus::StillAlive)
}

/// What the driver says of this function: its code is there.
fn works(c: &mut Context) -> Result {
    let before = c.log.count(&["probed"])?;
    c.edu.unbind()?;
    c.edu.bind(MODULE)?;
    ensure!(c.log.count(&["probed"])? == before + 1, "it was not probed");
    Ok(())
}

fn forgotten(c: &mut Context) -> Result {
    expect_console("^in_use: .* still registered");
    let (init, driver) = (c.init, c.driver);
    let (leaked, forget) = if driver {
        ("PCI driver still registered (1)", "forget=1")
    } else {
        ("work item still registered (1)", "forget=2")
    };
    let child = child::spawn(move || {
        let ended = if init {
            kernel_module::load(MODULE, &format!("{forget} fail=1"))
        } else {
            kernel_module::load(MODULE, forget).and_then(|()| kernel_module::unload(MODULE))
        };
        i32::from(ended.is_err())
    })?;
    c.log
        .wait_for(&["in_use: ", leaked, "rmmod does not return"])?;
    if driver {
        works(c)?;
    }
    kill(child, Signal::SIGKILL)?;
    if driver {
        works(c)?;
    }
    ensure!(!has_ended(child)?, "the module was freed");
    // With no lock that others need.
    poll::until_true("it waits before it frees the module", || {
        let stack = sysfs::read(format!("/proc/{child}/stack"))?;
        Ok(stack.contains("mod_sysfs_teardown") || stack.contains("free_module"))
    })?;
    c.child = Some(child);
    Ok(())
}

/// Other modules come and go, also one that has something registered itself, and the one with the
/// leak is still there.
fn others(c: &mut Context) -> Result {
    kernel_module::modprobe("mdev", "").context("another module")?;
    kernel_module::unload("mdev")?;
    let child = c.child.context("nothing was forgotten")?;
    ensure!(!has_ended(child)?, "the module was freed");
    Ok(())
}

fn main() -> ExitCode {
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("a module that forgets nothing is freed", clean)
            .case("what was forgotten keeps the module", forgotten)
            .case("other modules are loaded and unloaded", others)
            .run()
    })
}
