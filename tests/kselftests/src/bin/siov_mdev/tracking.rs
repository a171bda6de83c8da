// SPDX-License-Identifier: GPL-2.0

//! What is dirty in a container of devices that do their DMA themselves, and whose driver pins
//! pages as well.

use crate::context::{Context, Owned, IOVA};
use anyhow::{ensure, Context as _};
use siov_kselftests::kernel_module;
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::mdev::{uuid, Parent};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::PAGE;

const PAGES: usize = 4;
const ALL: u64 = (1 << PAGES) - 1;

/// The device may have written to everything, whatever its driver has pinned.
pub fn attached(_: &mut Context) -> Result {
    let functions = Function::all(SIOV_TESTDEV)?;
    let function = functions.first().context("the guest has no siov-testdev")?;
    let ktest = Ktest::open()?;
    function.unbind()?;
    ktest.take(function)?;
    ktest.aux_enable(function)?;
    let parameters = format!("parent={}", function.address());
    kernel_module::modprobe("vfio_ktest_mdev", &parameters)?;
    let result = pinning(function);
    kernel_module::unload("vfio_ktest_mdev")?;
    ktest.aux_disable(function)?;
    function.unbind()?;
    function.bind("siov_testdev")?;
    result
}

fn pinning(function: &Function) -> Result {
    let parent = Parent::find(function.address())?;
    let mdev = Owned(parent.create("iommu_ktest-attach", &uuid(5100))?);
    let mut container = Container::new()?;
    let device = container.add_mdev(&mdev.0)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    container.track(true)?;
    for pinned in 0..3 {
        let dirty = container.dirty_pages(IOVA, PAGES)?;
        ensure!(dirty == ALL, "{pinned} pages pinned, {dirty:#b} dirty");
        device.pin_by_driver(IOVA)?;
    }
    container.track(false)?;
    container.unmap(IOVA, PAGES * PAGE)
}
