// SPDX-License-Identifier: GPL-2.0

//! Errors of the invalidation queue: descriptors that the hardware refuses, fed to it through
//! debugfs (`vtd debug=1`). The queue must go on, and nothing that was to be invalidated may be
//! lost.

use anyhow::ensure;
use siov_kselftests::edu::Edu;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_faults, Plan, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern;
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{faults, sysfs, PAGE};
use std::process::ExitCode;

/// Descriptors that no unit takes, and what the driver calls them.
const REFUSED: [(&str, &str); 3] = [
    ("0xf 0 0 0", "unknown descriptor"),
    ("0x2 0 0 0", "IOTLB, reserved granularity"),
    ("0x25 0x3 0xffff 0", "wait"),
];

struct Context {
    function: Function,
    edu: Edu,
    container: Container,
    memory: Mapping,
    _device: Device,
}

fn setup() -> Result<Context> {
    let function = Function::first(EDU)?;
    let mut container = Container::new()?;
    let device = container.add(&function)?;
    device.set_bus_master(true)?;
    Ok(Context {
        edu: Edu::new(device.map_bar(0)?)?,
        memory: Mapping::memory(PAGE)?,
        function,
        container,
        _device: device,
    })
}

fn submit(descriptor: &str) -> Result {
    for unit in faults::units()? {
        sysfs::write(format!("{unit}/submit"), descriptor)?;
    }
    Ok(())
}

/// Maps a page, has the device read it, unmaps it, and checks that the device cannot read it again:
/// its translation was cached, and has been invalidated.
fn invalidation_works(context: &mut Context, iova: u64) -> Result {
    let Context {
        function,
        edu,
        container,
        memory,
        ..
    } = context;
    memory.write(0, &pattern::bytes(PAGE, iova));
    container.map(iova, memory, 0, PAGE, Access::ReadWrite)?;
    faults::expect(function, 0, || edu.read(iova, PAGE))?;
    container.unmap(iova, PAGE)?;
    faults::expect(function, 1, || edu.read(iova, PAGE))
}

fn a_refused_descriptor_is_named(_: &mut Context) -> Result {
    for (descriptor, words) in REFUSED {
        let mut log = KernelLog::from_now()?;
        let before = faults::counter("refused")?;
        submit(descriptor)?;
        ensure!(
            faults::counter("refused")? > before,
            "{descriptor:?} was not refused"
        );
        log.wait_for(&["invalidation queue error (IQE) at descriptor", words])?;
    }
    Ok(())
}

fn the_queue_goes_on(context: &mut Context) -> Result {
    for round in 0..8 {
        submit(REFUSED[round % REFUSED.len()].0)?;
        invalidation_works(context, 0x10_0000 + (round * 2 * PAGE) as u64)?;
    }
    Ok(())
}

/// More descriptors than the ring has slots, with a refused one among them now and then.
fn the_ring_wraps(context: &mut Context) -> Result {
    let before = faults::counter("wait")?;
    for round in 0..600u64 {
        if round % 100 == 99 {
            submit(REFUSED[0].0)?;
        }
        let iova = 0x100_0000 + round * PAGE as u64;
        context
            .container
            .map(iova, &context.memory, 0, PAGE, Access::ReadWrite)?;
        context.container.unmap(iova, PAGE)?;
    }
    let waits = faults::counter("wait")? - before;
    ensure!(waits >= 600, "only {waits} waits for 600 unmaps");
    invalidation_works(context, 0x200_0000)
}

fn nonsense_is_refused_by_the_file(_: &mut Context) -> Result {
    for text in ["", "1 2 3", "x y z w"] {
        let result = submit(text);
        // An empty write does not reach the driver at all.
        if !text.is_empty() {
            sysfs::expect_errno(result, nix::errno::Errno::EINVAL, text)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    expect_faults(16);
    ktap::run(setup, |context| {
        Plan::new(context)
            .case(
                "a refused descriptor is named",
                a_refused_descriptor_is_named,
            )
            .case("the queue goes on after each", the_queue_goes_on)
            .case("the ring wraps, errors in between", the_ring_wraps)
            .case("nonsense is refused", nonsense_is_refused_by_the_file)
            .run()
    })
}
