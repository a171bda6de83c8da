// SPDX-License-Identifier: GPL-2.0

//! Devices that go while domains are attached.

use anyhow::ensure;
use nix::errno::Errno;
use serde_json::json;
use siov_kselftests::in_flight::{begin, expect_silence};
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_console, Result};
use siov_kselftests::ktest::Ktest;
use siov_kselftests::monitor::Monitor;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::{copy, SiovTestdev};
use siov_kselftests::space::{page, Space};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::{kernel_module, poll, stats, PAGE};

const ADIS: usize = 64;

pub struct Context {
    ktest: Ktest,
    monitor: Monitor,
}

impl Context {
    pub fn new() -> Result<Self> {
        Ok(Self {
            ktest: Ktest::open()?,
            monitor: Monitor::open()?,
        })
    }

    fn plug(&mut self) -> Result<SiovTestdev> {
        self.monitor.plug(json!({
            "driver": SIOV_TESTDEV.name, "id": "test", "bus": "hot1", "adis": ADIS,
        }))?;
        let function = poll::until("the plugged device appears", || {
            Ok(Function::all(SIOV_TESTDEV)?.pop())
        })?;
        self.ktest.take(&function)?;
        SiovTestdev::new(function)
    }

    fn attached(&self, device: &SiovTestdev) -> Result<Vec<(Space, u32)>> {
        self.ktest.aux_enable(&device.function)?;
        (0..ADIS)
            .map(|_| {
                let space = Space::new(&self.ktest, &device.function, 16)?;
                space.domain.aux_attach(&device.function)?;
                let pasid = space.domain.aux_id()?;
                Ok((space, pasid))
            })
            .collect()
    }

    fn unplug(&mut self, device: &SiovTestdev) -> Result {
        self.monitor.unplug("test")?;
        poll::until_true("the device goes", || Ok(!device.function.exists()))?;
        self.monitor.wait_deleted("test")
    }
}

/// What the core says of a driver that leaves PASIDs attached, and of the device when it goes: it
/// asks before anybody can clean up after the driver, and counts the driver as an owner of the
/// group for ever.
fn expect_core_warnings() {
    expect_console("WARNING: .*iommu_device_unuse_default_domain");
    expect_console("WARNING: .*__iommu_group_free_device");
}

/// A driver that forgets what it attached: the core complains, and iommu_aux detaches it and says
/// so.
pub fn unbind(c: &mut Context) -> Result {
    expect_core_warnings();
    let device = c.plug()?;
    let mut log = KernelLog::from_now()?;
    let references = kernel_module::references("iommu_aux")?;
    let tables = stats::iommu_pages()?;
    let spaces = c.attached(&device)?;
    c.ktest.aux_leave(&device.function)?;
    device.function.unbind()?;
    log.wait_for(&[
        device.function.address(),
        "driver unbound with 64 auxiliary domains attached",
    ])?;
    for (space, _) in &spaces {
        expect_errno(space.domain.aux_id(), Errno::ENODEV, "an id")?;
    }
    let first = spaces.first().map(|(_, pasid)| *pasid);
    drop(spaces);
    // The directory and the tables of PASIDs stay with the device.
    ensure!(stats::iommu_pages()? <= tables + 2, "table pages leaked");
    ensure!(kernel_module::references("iommu_aux")? == references);

    // As if nothing had been: not enabled, and the same ids.
    c.ktest.take(&device.function)?;
    device.reset();
    expect_errno(
        c.ktest.aux_disable(&device.function),
        Errno::ENODEV,
        "enabled after unbinding",
    )?;
    let spaces = c.attached(&device)?;
    ensure!(spaces.first().map(|(_, pasid)| *pasid) == first);
    for (index, (space, pasid)) in spaces.iter().enumerate() {
        let adi = device.adi(index as u32);
        adi.enable(Some(*pasid));
        let data = space.fill(0, index as u64);
        adi.succeed(&copy(page(0), page(1), PAGE))?;
        space.expect(1, &data)?;
        adi.drain()?;
    }
    drop(spaces);
    c.unplug(&device)
}

/// A driver in Rust keeps an attachment while the device is unbound and bound again. Dropping it
/// does not detach what is attached then.
pub fn stale(c: &mut Context) -> Result {
    expect_core_warnings();
    let device = c.plug()?;
    let mut log = KernelLog::from_now()?;
    kernel_module::modprobe("aux_rust", "stale=1")?;
    log.wait_for(&[device.function.address(), "attached as before"])?;
    kernel_module::unload("aux_rust")?;
    // All given back.
    let spaces = c.attached(&device)?;
    ensure!(spaces.first().map(|(_, pasid)| *pasid) == Some(1));
    drop(spaces);
    c.unplug(&device)
}

/// With the driver's help, and without it.
pub fn unplug(c: &mut Context) -> Result {
    for leave in [false, true] {
        let device = c.plug()?;
        let spaces = c.attached(&device)?;
        if leave {
            expect_core_warnings();
            c.ktest.aux_leave(&device.function)?;
        }
        // Many at once, so that some work at any moment.
        for (index, (space, pasid)) in spaces.iter().enumerate().take(8) {
            begin(device.adi(index as u32), space, *pasid)?;
        }
        // The driver switches bus mastering off before it lets go, so nothing faults.
        c.unplug(&device)?;
        for (space, _) in &spaces {
            expect_errno(space.domain.aux_id(), Errno::ENODEV, "an id")?;
        }
        for (space, _) in spaces.iter().take(8) {
            expect_silence(space)?;
        }
    }
    Ok(())
}
