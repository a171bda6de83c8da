// SPDX-License-Identifier: GPL-2.0

//! `vtd_refuse ERRNO WORD...`: on this machine vtd must refuse to load, with this error and a line
//! in the log that has all of these words (`+` stands for a space), and leave everything as it was.

use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, Plan, Result};
use siov_kselftests::pci::{Function, NVME};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::traffic::disk;
use siov_kselftests::{kernel_module, stats, sysfs};
use std::process::ExitCode;
use std::time::Duration;

struct Context {
    errno: Errno,
    words: Vec<String>,
    disk: Function,
}

fn setup() -> Result<Context> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("no error given")?;
    let errno = match name.as_str() {
        "ENODEV" => Errno::ENODEV,
        "EBUSY" => Errno::EBUSY,
        "EINVAL" => Errno::EINVAL,
        "EOPNOTSUPP" => Errno::EOPNOTSUPP,
        _ => anyhow::bail!("unknown error {name:?}"),
    };
    let words: Vec<String> = arguments.map(|word| word.replace('+', " ")).collect();
    ensure!(!words.is_empty(), "no words given");
    // The refusal is an error in the log.
    ktap::expect_console("^vtd: ");
    let disk = Function::first(NVME)?;
    disk::block_device(&disk)?;
    Ok(Context { errno, words, disk })
}

/// What a refused load must not change: registers claimed, units registered, and the disk's group.
fn state(c: &Context) -> Result<(String, Vec<String>, Option<u32>)> {
    let mut units = Vec::new();
    for entry in std::fs::read_dir("/sys/class/iommu")? {
        units.push(entry?.file_name().to_string_lossy().into_owned());
    }
    units.sort();
    Ok((sysfs::read("/proc/iomem")?, units, c.disk.group()))
}

fn refused(c: &mut Context) -> Result {
    let before = state(c)?;
    let mut log = KernelLog::from_now()?;
    expect_errno(kernel_module::load("vtd", ""), c.errno, "loading vtd")?;
    ensure!(
        !kernel_module::is_loaded("vtd"),
        "the module is loaded after all"
    );
    let mut words: Vec<&str> = c.words.iter().map(String::as_str).collect();
    words.push("vtd: ");
    log.wait_for(&words)?;
    let after = state(c)?;
    ensure!(before == after, "before: {before:?}, after: {after:?}");
    Ok(())
}

fn no_leak(c: &mut Context) -> Result {
    const TIMES: i64 = 20;
    let refuse = |times: i64| -> Result {
        (0..times)
            .try_for_each(|_| expect_errno(kernel_module::load("vtd", ""), c.errno, "loading vtd"))
    };
    refuse(2)?;
    let before = stats::iommu_pages()?;
    refuse(TIMES)?;
    let leaked = stats::iommu_pages()? - before;
    // The disk may have mapped something meanwhile, if another driver translates it.
    ensure!(leaked < TIMES, "{leaked} pages of tables leaked");
    Ok(())
}

fn goes_on(c: &mut Context) -> Result {
    let path = disk::block_device(&c.disk)?;
    disk::exercise(&path, 2, Duration::from_millis(300), 5)?;
    Ok(())
}

fn main() -> ExitCode {
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("vtd refuses to load and says why", refused)
            .case("refusing again and again leaks nothing", no_leak)
            .case("the disk works as before", goes_on)
            .run()
    })
}
