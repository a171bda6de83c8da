// SPDX-License-Identifier: GPL-2.0

//! `module_signature refused|loaded`: what the shipped kernel makes of our modules, which have no
//! signature, and of the stock ones, which have one. `scripts/install` refuses in the first case:
//! modprobe would take ours, and there would be no VFIO at all.

use anyhow::{ensure, Result};
use nix::errno::Errno;
use siov_kselftests::ktap::Plan;
use siov_kselftests::{kernel_module, ktap, sysfs};
use std::path::Path;
use std::process::ExitCode;

fn is_refused() -> Result<bool> {
    match std::env::args().nth(1).as_deref() {
        Some("refused") => Ok(true),
        Some("loaded") => Ok(false),
        other => anyhow::bail!("refused or loaded, not {other:?}"),
    }
}

/// The signature counts, not who built the kernel.
fn stock(_: &mut ()) -> Result<()> {
    kernel_module::load_stock("mdev", "")?;
    let commit = Path::new("/sys/module/mdev/version");
    ensure!(
        !commit.exists() || sysfs::read(commit)? != env!("CARGO_PKG_VERSION"),
        "the stock module has our version"
    );
    kernel_module::unload("mdev")
}

fn refused(_: &mut ()) -> Result<()> {
    let locked_down = sysfs::read("/proc/cmdline")?.contains("lockdown=");
    let expected = if locked_down {
        Errno::EPERM
    } else {
        Errno::EKEYREJECTED
    };
    sysfs::expect_errno(kernel_module::load("mdev", ""), expected, "loading ours")
}

/// What an operator would see.
fn no_vfio(_: &mut ()) -> Result<()> {
    ensure!(
        kernel_module::modprobe("vfio_iommu_type1", "").is_err(),
        "modprobe has loaded it"
    );
    ensure!(!kernel_module::is_loaded("vfio_iommu_type1"), "it is there");
    Ok(())
}

/// sysfs tells ours from stock.
fn known(_: &mut ()) -> Result<()> {
    kernel_module::load("mdev", "")?;
    let version = sysfs::read("/sys/module/mdev/version")?;
    ensure!(version == env!("CARGO_PKG_VERSION"), "version {version}");
    ensure!(
        !sysfs::read("/sys/module/mdev/srcversion")?.is_empty(),
        "no srcversion"
    );
    // The debug kernels have none.
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        ensure!(Path::new("/sys/kernel/btf/mdev").exists(), "no BTF");
    }
    let taint = sysfs::read("/sys/module/mdev/taint")?;
    ensure!(taint.contains('O'), "taint {taint}");
    kernel_module::unload("mdev")
}

fn main() -> ExitCode {
    ktap::run(is_refused, |is_refused| {
        let plan = Plan::new(()).case("the stock module is loaded", stock);
        if is_refused {
            plan.case("ours is not", refused)
                .case("there is no VFIO", no_vfio)
        } else {
            plan.case("ours is, and is known by version and BTF", known)
        }
        .run()
    })
}
