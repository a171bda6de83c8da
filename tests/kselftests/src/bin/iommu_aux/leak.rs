// SPDX-License-Identifier: GPL-2.0

//! Nothing stays behind.

use crate::context::Context;
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_faults, Result};
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::fill;
use siov_kselftests::space::IOVA;
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::{kernel_module, stats};

const CYCLES: u32 = 10_000;

/// An object that each cycle left behind would show as 10,000; what the kernel does meanwhile is
/// far less.
const NOISE: i64 = 2_500;

pub fn cycles(c: &mut Context) -> Result {
    c.enabled(|c| {
        let function = &c.first.function;
        let (space, first_id) = c.attached(4)?;
        space.domain.aux_detach(function)?;
        // The kernel for debugging is slow.
        let is_exact = stats::has_exact_slabs();
        let cycles = if is_exact { CYCLES } else { CYCLES / 10 };
        let references = kernel_module::references("iommu_aux")?;
        let (tables, slabs) = (stats::iommu_pages()?, stats::slabs()?);
        for _ in 0..cycles {
            space.domain.aux_attach(function)?;
            space.domain.aux_detach(function)?;
        }
        let now = stats::iommu_pages()?;
        ensure!(now == tables, "{tables} table pages became {now}");
        for (name, (active, size)) in stats::slabs()?.into_iter().filter(|_| is_exact) {
            let before = slabs.get(&name).map_or(0, |(active, _)| *active);
            ensure!(
                active - before < NOISE,
                "{name}: {before} objects of {size} bytes became {active}"
            );
        }
        ensure!(kernel_module::references("iommu_aux")? == references);
        space.domain.aux_attach(function)?;
        let id = space.domain.aux_id()?;
        ensure!(
            id == first_id,
            "the first id was {first_id}, now it is {id}"
        );
        Ok(())
    })
}

/// Those who use it keep it.
pub fn unload(c: &mut Context) -> Result {
    expect_errno(
        kernel_module::unload("iommu_aux"),
        Errno::EWOULDBLOCK,
        "iommu_aux unloaded under iommu_ktest",
    )?;
    // Still at work.
    c.enabled(|c| c.attached(1).map(drop))
        .context("after an attempt to unload it")
}

/// A driver in Rust, with a device that has a driver of its own.
pub fn from_rust(c: &mut Context) -> Result {
    let function = &c.first.function;
    let mut log = KernelLog::from_now()?;
    let iommu = || kernel_module::references("vtd").unwrap_or(0);
    let before = iommu();
    kernel_module::modprobe("aux_rust", "")?;
    // Domains keep the driver that made them, whatever becomes of the device. So do the two
    // functions that its faults are heard of by.
    let devices = Function::all(SIOV_TESTDEV)?;
    let domains = 2 * devices.iter().filter(|f| f.driver().is_some()).count();
    let expected = before + u64::try_from(domains)? + 2;
    ensure!(
        !kernel_module::is_loaded("vtd") || iommu() == expected,
        "{domains} domains, and {} references to vtd after {before}",
        iommu()
    );
    let words = [function.address(), "PASIDs 1 and 2"];
    log.wait_for(&words)?;
    expect_errno(
        c.ktest.aux_enable(function),
        Errno::EBUSY,
        "enabled while aux_rust has it enabled",
    )?;
    expect_errno(
        c.ktest.aux_disable(function),
        Errno::EBUSY,
        "disabled with domains attached",
    )?;
    let adi = c.first.adi(0);
    adi.enable(Some(1));
    expect_faults(1);
    adi.fault(&fill(IOVA, 8, 0))?;
    if c.tells_faults {
        log.wait_for(&[function.address(), "told of a fault of PASID 1"])?;
    }
    adi.drain()?;
    kernel_module::unload("aux_rust")?;
    ensure!(iommu() == before, "vtd is kept");
    // All given back.
    c.enabled(|c| {
        let (_space, pasid) = c.attached(1)?;
        ensure!(pasid == 1, "the first PASID is {pasid}");
        Ok(())
    })
}
