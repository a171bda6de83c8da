// SPDX-License-Identifier: GPL-2.0

//! `in_use exit|init`: a driver whose registration was forgotten works after the end of its module,
//! or after its `init` has failed. The task that ended it does not return, and the log says why.
//! Another test of the same guest cannot load the module again.

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
const LEAKED: &str = "PCI driver still registered (1)";

struct Context {
    edu: Function,
    log: KernelLog,
    init: bool,
}

fn setup() -> Result<Context> {
    let init = match std::env::args().nth(1).as_deref() {
        Some("exit") => false,
        Some("init") => true,
        other => anyhow::bail!("exit or init, not {other:?}"),
    };
    Ok(Context {
        edu: Function::first(EDU)?,
        log: KernelLog::from_now()?,
        init,
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
    let init = c.init;
    let child = child::spawn(move || {
        let ended = if init {
            kernel_module::load(MODULE, "forget=1 fail=1")
        } else {
            kernel_module::load(MODULE, "forget=1").and_then(|()| kernel_module::unload(MODULE))
        };
        i32::from(ended.is_err())
    })?;
    c.log
        .wait_for(&["in_use: ", LEAKED, "rmmod does not return"])?;
    works(c)?;
    kill(child, Signal::SIGKILL)?;
    works(c)?;
    ensure!(!has_ended(child)?, "the module was freed");
    // With no lock that others need.
    poll::until_true("it waits before it frees the module", || {
        let stack = sysfs::read(format!("/proc/{child}/stack"))?;
        Ok(stack.contains("mod_sysfs_teardown") || stack.contains("free_module"))
    })
}

/// Other modules come and go, also one that has something registered itself.
fn others(_: &mut Context) -> Result {
    kernel_module::modprobe("mdev", "").context("another module")?;
    kernel_module::unload("mdev")
}

fn main() -> ExitCode {
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("a module that forgets nothing is freed", clean)
            .case(
                "a forgotten driver works, and its module is not freed",
                forgotten,
            )
            .case("other modules are loaded and unloaded", others)
            .run()
    })
}
