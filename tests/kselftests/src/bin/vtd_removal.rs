// SPDX-License-Identifier: GPL-2.0

//! Devices with a TLB of their own that are removed without notice, while pages are mapped and
//! unmapped: nothing is sent to them any more, and nothing waits for them.

use anyhow::{ensure, Context as _};
use serde_json::json;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, Plan, Result};
use siov_kselftests::ktest::{prot, Buffer, Domain, Ktest, NO_PASID};
use siov_kselftests::monitor::Monitor;
use siov_kselftests::pci::{self, Function, VIRTIO_RNG_ATS};
use siov_kselftests::{faults, poll, PAGE};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const IOVA: u64 = 6 << 30;

struct Context {
    ktest: Ktest,
    monitor: Monitor,
    function: Function,
    log: KernelLog,
}

/// Plugs a device into the port that is named after it, beside those that are known. ATS is only
/// switched on for devices that have no driver yet, and this one's is built into the kernel.
fn plug(monitor: &mut Monitor, id: &str, known: &[Function]) -> Result<Function> {
    monitor.plug(json!({
        "driver": "virtio-rng-pci", "id": id, "bus": format!("{id}-port"),
        "ats": true, "iommu_platform": true, "disable-legacy": "on",
    }))?;
    poll::until("the plugged device appears", || {
        let mut all = Function::all(VIRTIO_RNG_ATS)?.into_iter();
        // Its driver comes last, in the background.
        Ok(all.find(|function| !known.contains(function) && function.driver().is_some()))
    })
}

fn setup() -> Result<Context> {
    let mut monitor = Monitor::open()?;
    Ok(Context {
        ktest: Ktest::open()?,
        function: plug(&mut monitor, "first", &[])?,
        monitor,
        log: KernelLog::from_start()?,
    })
}

/// A domain that a function is attached to, and a page.
struct Space {
    domain: Domain,
    buffer: Buffer,
}

impl Space {
    fn new(ktest: &Ktest, function: &Function) -> Result<Self> {
        ktest.take(function)?;
        let buffer = ktest.buffer(0)?;
        let domain = ktest.domain(function)?;
        domain.attach(function, NO_PASID)?;
        Ok(Self { domain, buffer })
    }

    /// Maps and unmaps one page.
    fn churn(&self) -> Result {
        self.domain.map(IOVA, self.buffer.phys, PAGE, prot::BOTH)?;
        let unmapped = self.domain.unmap(IOVA, PAGE)?;
        ensure!(unmapped == PAGE, "{unmapped} bytes unmapped");
        Ok(())
    }
}

/// Invalidations of devices' TLBs so far.
fn device_tlb() -> Result<u64> {
    faults::counter("device-tlb")
}

/// How many invalidations of devices' TLBs `times` unmaps take.
fn invalidations(space: &Space, times: u64) -> Result<u64> {
    let before = device_tlb()?;
    for _ in 0..times {
        space.churn()?;
    }
    Ok(device_tlb()? - before)
}

const TIMES: u64 = 50;

fn a_tlb_is_invalidated(c: &mut Context) -> Result {
    let space = Space::new(&c.ktest, &c.function)?;
    let count = invalidations(&space, TIMES)?;
    ensure!(count == TIMES, "{count} invalidations for {TIMES} unmaps");
    Ok(())
}

fn a_removed_device_is_not_asked(c: &mut Context) -> Result {
    let function = c.function.clone();
    let space = Space::new(&c.ktest, &function)?;
    ensure!(invalidations(&space, 1)? == 1, "it has no TLB");
    c.ktest.disconnect(&function)?;
    let waits = faults::counter("wait")?;
    let count = invalidations(&space, TIMES)?;
    ensure!(count == 0, "{count} invalidations of a device that is gone");
    let waits = faults::counter("wait")? - waits;
    ensure!(
        waits >= TIMES,
        "{waits} waits for {TIMES} unmaps: the IOTLB is not invalidated"
    );
    // Detached by the driver's leave, as after a removal.
    let before = device_tlb()?;
    function.remove()?;
    drop(space);
    let count = device_tlb()? - before;
    ensure!(count == 0, "{count} invalidations while it was detached");
    pci::rescan()?;
    ensure!(function.exists(), "{function} was not found again");
    a_tlb_is_invalidated(c)
}

/// The load goes on while `removal` removes the function, and after it.
fn under_load(
    c: &mut Context,
    function: &Function,
    removal: impl FnOnce(&mut Context) -> Result,
) -> Result {
    let space = Space::new(&c.ktest, function)?;
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let load = scope.spawn(|| -> Result {
            while !stop.load(Ordering::Relaxed) {
                space.churn()?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let more = |what: &str| {
            let before = count.load(Ordering::Relaxed);
            poll::until_true(what, || {
                Ok(count.load(Ordering::Relaxed) >= before + TIMES || load.is_finished())
            })
        };
        let result = more("the load runs")
            .and_then(|()| removal(c))
            .and_then(|()| more("the load goes on"));
        stop.store(true, Ordering::Relaxed);
        let load = load.join().ok().context("the load panicked")?;
        result.and(load)
    })
}

fn removed_under_load(c: &mut Context) -> Result {
    for _ in 0..5 {
        let function = c.function.clone();
        under_load(c, &function.clone(), |c| {
            c.ktest.disconnect(&function)?;
            function.remove()
        })?;
        pci::rescan()?;
        ensure!(function.exists(), "{function} was not found again");
    }
    Ok(())
}

fn unplugged_under_load(c: &mut Context) -> Result {
    for _ in 0..3 {
        let known = c.function.clone();
        let function = plug(&mut c.monitor, "hot", &[known])?;
        under_load(c, &function.clone(), |c| {
            c.monitor.unplug("hot")?;
            poll::until_true("the unplugged device goes", || Ok(!function.exists()))
        })?;
        c.monitor.wait_deleted("hot")?;
    }
    Ok(())
}

fn nothing_failed(c: &mut Context) -> Result {
    for counter in ["timed-out", "refused", "unexpected-completions"] {
        let count = faults::counter(counter)?;
        ensure!(count == 0, "{counter}: {count}");
    }
    for word in ["invalidation", "stale", "ATS"] {
        let lines = c.log.count(&["vtd: ", word])?;
        // The one that announces the unit.
        let expected = usize::from(word == "ATS");
        ensure!(lines == expected, "{lines} lines about {word}");
    }
    Ok(())
}

fn main() -> ExitCode {
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("the TLB of a device is invalidated", a_tlb_is_invalidated)
            .case(
                "that of a removed device is not",
                a_removed_device_is_not_asked,
            )
            .case("a device is removed under load", removed_under_load)
            .case("a device is unplugged under load", unplugged_under_load)
            .case("nothing has failed", nothing_failed)
            .run()
    })
}
