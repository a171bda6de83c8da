// SPDX-License-Identifier: GPL-2.0

//! vtd comes and goes: while nothing depends on it, not while something does, and under a disk at
//! work.

use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_console, note, Plan, Result};
use siov_kselftests::pci::{Function, IGB, NVME};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::traffic::disk;
use siov_kselftests::vfio::Container;
use siov_kselftests::{faults, kernel_module, poll, stats, sysfs, tables};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const RELEASE: &str = "/sys/kernel/debug/vtd/release";

struct Context {
    disk: Function,
    /// With virtual functions.
    card: Function,
    log: KernelLog,
    seed: u64,
}

fn setup() -> Result<Context> {
    Ok(Context {
        disk: Function::first(NVME)?,
        card: Function::first(IGB)?,
        log: KernelLog::from_now()?,
        seed: 1000,
    })
}

impl Context {
    fn traffic(&mut self) -> Result {
        self.seed += 1;
        let path = disk::block_device(&self.disk)?;
        let bytes = disk::exercise(&path, 2, Duration::from_millis(500), self.seed)?;
        note(format!("{} KiB by disk", bytes >> 10));
        Ok(())
    }

    /// Keeps the disk at work, on both processors, while `change` runs and for a moment after it.
    fn under_traffic(&mut self, change: impl FnOnce(&mut Self) -> Result) -> Result {
        self.seed += 1;
        let (path, seed) = (disk::block_device(&self.disk)?, self.seed);
        let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| -> Result {
                let mut seed = seed << 32;
                while !done.load(Ordering::Acquire) {
                    seed += 1;
                    disk::exercise(&path, 2, Duration::ZERO, seed)?;
                    started.store(true, Ordering::Release);
                }
                disk::exercise(&path, 2, Duration::from_millis(500), seed + 1).map(drop)
            });
            let result =
                poll::until_true("the disk begins", || Ok(started.load(Ordering::Acquire)))
                    .and_then(|()| change(self));
            done.store(true, Ordering::Release);
            let worker = worker
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            result?;
            worker.context("disk at work")
        })
    }
}

fn release() -> Result {
    sysfs::write(RELEASE, "1")
}

/// Releases all devices and unloads the module; nothing of it may be left.
fn unload() -> Result {
    release()?;
    ensure!(
        kernel_module::references("vtd")? == 0,
        "the module is in use after its release"
    );
    kernel_module::unload("vtd")?;
    for path in [
        "/sys/kernel/debug/vtd",
        "/sys/class/iommu/dmar0",
        "/sys/module/vtd",
    ] {
        ensure!(!Path::new(path).exists(), "{path} is left");
    }
    let groups = fs::read_dir("/sys/kernel/iommu_groups")?.count();
    ensure!(groups == 0, "{groups} IOMMU groups are left");
    ensure!(
        stats::interrupts("vtd-fault").is_err(),
        "the fault interrupt is left"
    );
    let iomem = sysfs::read("/proc/iomem")?;
    ensure!(!iomem.contains("vtd"), "the registers are still claimed");
    Ok(())
}

fn in_use(c: &mut Context) -> Result {
    c.traffic()?;
    expect_errno(
        kernel_module::unload("vtd"),
        Errno::EAGAIN,
        "unloading a module in use",
    )?;
    expect_errno(release(), Errno::EBUSY, "releasing devices in use")?;
    c.log.wait_for(&[c.disk.address(), "depends on"])?;
    // Also when it passes through: the core knows that a driver holds its group.
    c.disk.unbind()?;
    c.disk.set_domain_type("identity")?;
    c.disk.bind("nvme")?;
    c.traffic()?;
    expect_errno(
        release(),
        Errno::EBUSY,
        "releasing a device in use that passes through",
    )?;
    c.disk.unbind()?;
    c.disk.set_domain_type("DMA-FQ")?;
    c.disk.bind("nvme")?;
    // It goes on as before, and takes drivers as before.
    c.traffic()?;
    c.disk.unbind()?;
    c.disk.bind("nvme")?;
    c.traffic()?;
    ensure!(
        c.disk.domain_type()? == "DMA-FQ",
        "type {}",
        c.disk.domain_type()?
    );
    Ok(())
}

/// vfio-pci has not claimed the device that it is bound to, and could do so at any time.
fn unclaimed(c: &mut Context) -> Result {
    c.disk.unbind()?;
    kernel_module::modprobe("vfio-pci", "")?;
    c.disk.bind("vfio-pci")?;
    expect_errno(release(), Errno::EBUSY, "releasing a device of vfio-pci")?;
    c.log
        .wait_for(&["vtd", "in use by a driver of its devices"])?;
    ensure!(c.disk.group().is_some(), "the disk was given back");
    c.disk.unbind()?;
    c.disk.bind("nvme")?;
    c.traffic()
}

/// Nobody is let through because somebody else asks for a release that is refused.
fn blocked(c: &mut Context) -> Result {
    const ROUNDS: u32 = 40;
    kernel_module::modprobe("vfio-pci", "")?;
    c.card.bind("vfio-pci")?;
    let done = AtomicBool::new(false);
    let card = &c.card;
    std::thread::scope(|scope| -> Result {
        let releaser = scope.spawn(|| -> Result<u32> {
            let mut refused = 0;
            while !done.load(Ordering::Acquire) {
                expect_errno(release(), Errno::EBUSY, "releasing a disk in use")?;
                refused += 1;
            }
            Ok(refused)
        });
        let rounds = (0..ROUNDS).try_for_each(|_| -> Result {
            let mut container = Container::new()?;
            container.claim(card)?;
            let entry = tables::entry(card)?;
            ensure!(entry.is_none(), "a claimed card has: {entry:?}");
            drop(container);
            ensure!(tables::entry(card)?.is_some(), "the card has no domain");
            Ok(())
        });
        done.store(true, Ordering::Release);
        let refused = releaser
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        note(format!("{refused} refusals"));
        rounds
    })?;
    c.card.unbind()?;
    c.traffic()
}

fn idle(c: &mut Context) -> Result {
    c.disk.unbind()?;
    unload()?;
    c.log.wait_for(&["vtd", "released"])?;
    ensure!(c.disk.group().is_none(), "the disk is still in a group");
    c.disk.bind("nvme")?;
    c.traffic()
}

fn parameter(c: &mut Context) -> Result {
    expect_errno(
        kernel_module::load("vtd", "stage=9"),
        Errno::EINVAL,
        "stage 9",
    )?;
    c.log.wait_for(&["vtd", "stage=9", "must be 0, 1 or 2"])?;
    c.traffic()
}

fn again(c: &mut Context) -> Result {
    c.disk.unbind()?;
    kernel_module::load("vtd", "")?;
    c.disk.bind("nvme")?;
    c.traffic()?;
    ensure!(
        c.disk.domain_type()? == "DMA-FQ",
        "type {}",
        c.disk.domain_type()?
    );
    ensure!(faults::counter("faults")? == 0, "requests were blocked");
    c.disk.unbind()?;
    unload()?;
    c.disk.bind("nvme")?;
    c.traffic()
}

fn at_work(c: &mut Context) -> Result {
    c.under_traffic(|c| {
        kernel_module::load("vtd", "")?;
        let kind = c.disk.domain_type()?;
        ensure!(kind == "identity", "a disk at work got domain type {kind}");
        Ok(())
    })?;
    ensure!(faults::counter("faults")? == 0, "requests were blocked");
    // What passes through does not keep the module.
    c.under_traffic(|_| unload())
}

/// Drivers are bound and unbound while the units are released. Each attempt either finds the disk
/// in use, or gives it back; whoever binds it waits meanwhile.
fn binding(c: &mut Context) -> Result {
    const ROUNDS: u32 = 12;
    c.disk.unbind()?;
    let (mut refused, done) = (0, AtomicBool::new(false));
    let disk = c.disk.clone();
    std::thread::scope(|scope| -> Result {
        let worker = scope.spawn(|| {
            let mut bound = 0;
            while !done.load(Ordering::Acquire) {
                bound += u32::from(disk.bind("nvme").is_ok());
                let _ = disk.unbind();
            }
            bound
        });
        let rounds = (0..ROUNDS).try_for_each(|_| -> Result {
            kernel_module::load("vtd", "")?;
            poll::until_true("the units are released", || match release() {
                Err(error) if sysfs::errno(&error) == Some(libc::EBUSY) => {
                    refused += 1;
                    Ok(false)
                }
                other => other.map(|()| true),
            })?;
            kernel_module::unload("vtd")
        });
        done.store(true, Ordering::Release);
        let bound = worker
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        note(format!("bound {bound} times, {refused} refusals"));
        rounds
    })?;
    c.disk.bind("nvme")?;
    c.traffic()
}

/// Writing to `sriov_numvfs` takes the locks that a release takes, the other way round. Whoever
/// resets the disk has it locked for 100 ms, and a release that waits for it between the two.
fn virtual_functions(c: &mut Context) -> Result {
    const STEPS: u32 = 12;
    c.disk.unbind()?;
    kernel_module::load("vtd", "")?;
    // It claims nothing, so that a release goes as far as to the locks.
    kernel_module::modprobe("vfio-pci", "")?;
    sysfs::write("/sys/module/vfio_pci/parameters/enable_sriov", "1")?;
    c.card.bind("vfio-pci")?;
    let (disk, done) = (c.disk.clone(), AtomicBool::new(false));
    let functions = c.card.path("sriov_numvfs");
    let steps = AtomicU32::new(0);
    std::thread::scope(|scope| -> Result {
        let resetter = scope.spawn(|| -> Result {
            while !done.load(Ordering::Acquire) {
                sysfs::write(disk.path("reset"), "1")?;
            }
            Ok(())
        });
        let maker = scope.spawn(|| -> Result {
            let result = (0..STEPS).try_for_each(|step| -> Result {
                steps.store(step + 1, Ordering::Release);
                sysfs::write(&functions, ["2", "0"][step as usize % 2])
            });
            done.store(true, Ordering::Release);
            result
        });
        // One for each step at most, so that the others come to run.
        let mut last = 0;
        let mut result = Ok(());
        while result.is_ok() && !done.load(Ordering::Acquire) {
            result =
                expect_errno(release(), Errno::EBUSY, "releasing a card in use").and_then(|()| {
                    poll::until_true("the next step", || {
                        Ok(steps.load(Ordering::Acquire) > last || done.load(Ordering::Acquire))
                    })
                });
            last = steps.load(Ordering::Acquire);
        }
        done.store(true, Ordering::Release);
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        maker.join().map_err(panicked)??;
        resetter.join().map_err(panicked)??;
        result
    })?;
    c.card.unbind()?;
    unload()?;
    c.disk.bind("nvme")?;
    c.traffic()
}

fn nothing_left(c: &mut Context) -> Result {
    const CYCLES: i64 = 20;
    c.disk.unbind()?;
    let cycles = |count: i64| -> Result {
        for _ in 0..count {
            kernel_module::load("vtd", "")?;
            unload()?;
        }
        Ok(())
    };
    cycles(2)?;
    let (tables, slab) = (
        stats::iommu_pages()?,
        stats::vmstat("nr_slab_unreclaimable")?,
    );
    cycles(CYCLES)?;
    let tables = stats::iommu_pages()? - tables;
    ensure!(tables == 0, "{tables} pages of tables leaked");
    let slab = stats::vmstat("nr_slab_unreclaimable")? - slab;
    // A page per load would be as many; what is freed after a grace period is not back yet.
    note(format!("{slab} pages of slab more"));
    let leaked = stats::has_exact_slabs() && slab >= 10 * CYCLES;
    ensure!(!leaked, "{slab} pages of slab leaked");
    kernel_module::load("vtd", "")?;
    c.disk.bind("nvme")?;
    c.traffic()
}

fn main() -> ExitCode {
    // The core's warning of each device whose driver was there before the IOMMU.
    expect_console("late IOMMU probe at driver bind");
    // The core counts no owner of a group that came after the driver.
    expect_console("iommu_device_unuse_default_domain");
    expect_console("vtd: stage=9");
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("what is in use is neither released nor unloaded", in_use)
            .case("a driver that may claim a device is in the way", unclaimed)
            .case(
                "what is claimed is blocked while a release is refused",
                blocked,
            )
            .case(
                "what is idle is released and unloaded, and DMA goes on without it",
                idle,
            )
            .case("a stage that does not exist is refused", parameter)
            .case("it is loaded again, and translates again", again)
            .case("it is loaded and unloaded under a disk at work", at_work)
            .case(
                "it is released while drivers are bound and unbound",
                binding,
            )
            .case(
                "a release is refused while virtual functions come and go",
                virtual_functions,
            )
            .case("loading and unloading leave nothing behind", nothing_left)
            .run()
    })
}
