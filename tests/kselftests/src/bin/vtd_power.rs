// SPDX-License-Identifier: GPL-2.0

//! Sleep: units are switched off last and on again first, and interrupts follow the processors.
//!
//! The system sleeps as deep as ACPI has it (S3): devices and units lose their registers, and the
//! real-time clock wakes it.

use anyhow::{ensure, Context as _};
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_faults, skip, Plan, Result};
use siov_kselftests::pci::{Function, EDU, NVME};
use siov_kselftests::power::sleep;
use siov_kselftests::traffic::disk;
use siov_kselftests::vfio::Container;
use siov_kselftests::{edu::Edu, faults, sysfs, PAGE};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

struct Context {
    disk: PathBuf,
    seed: u64,
}

fn setup() -> Result<Context> {
    Ok(Context {
        disk: disk::block_device(&Function::first(NVME)?)?,
        seed: 0,
    })
}

fn traffic(context: &mut Context) -> Result {
    context.seed += 1;
    let bytes = disk::exercise(&context.disk, 1, Duration::from_millis(200), context.seed)?;
    ensure!(bytes > 0, "no data moved");
    Ok(())
}

fn registers(words: &[&str]) -> Result {
    for unit in faults::units()? {
        let text = sysfs::read(format!("{unit}/registers"))?;
        for word in words {
            ensure!(text.contains(word), "{unit}/registers lacks {word}");
        }
    }
    Ok(())
}

fn data_after_sleep(context: &mut Context) -> Result {
    traffic(context)?;
    sleep()?;
    registers(&["TES", "QIES"])?;
    traffic(context)
}

fn fault(log: &mut KernelLog) -> Result {
    let function = Function::first(EDU)?; // On the root bus.
    let mut container = Container::new()?;
    let device = container.add(&function)?;
    device.set_bus_master(true)?;
    let edu = Edu::new(device.map_bar(0)?)?;
    faults::expect(&function, 1, || edu.write(0x10_0000, PAGE))?;
    log.wait_for(&["vtd fault", function.requester()])?;
    Ok(())
}

fn faults_after_sleep(_: &mut Context) -> Result {
    let mut log = KernelLog::from_now()?;
    sleep()?;
    fault(&mut log)
}

/// What the access control services of a port do (PCIe spec, 7.7.11.3).
fn access_control(port: &Function) -> Result<u16> {
    const ACS: u16 = 0x000d;
    const CONTROL: usize = 6;
    let path = port.path("config");
    let config = fs::read(&path).with_context(|| path.display().to_string())?;
    let word = |at: usize| -> Result<u16> {
        let bytes = config.get(at..at + 2).context("no extended capabilities")?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    let mut at = 0x100;
    while at != 0 {
        if word(at)? == ACS {
            return word(at + CONTROL);
        }
        at = usize::from(word(at + 2)? >> 4);
    }
    anyhow::bail!("{port} has no ACS")
}

/// Groups below ports are isolated by what only a reset switches off.
fn ports_after_sleep(_: &mut Context) -> Result {
    const ISOLATING: u16 = 0b1_1101;
    let ports = ["0000:00:08.0", "0000:00:08.1"];
    let ports: Vec<Function> = ports.into_iter().map(Function::at).collect::<Result<_>>()?;
    let below: Vec<Function> = Function::all(EDU)?
        .into_iter()
        .filter(|edu| !edu.address().starts_with("0000:00:"))
        .collect();
    let [first, second] = below.as_slice() else {
        anyhow::bail!("{} edu below ports, not two", below.len());
    };
    ensure!(
        first.group() != second.group(),
        "{first} and {second} share group {:?}",
        first.group()
    );
    let expect = |when: &str| -> Result {
        for port in &ports {
            let control = access_control(port)?;
            ensure!(
                control & ISOLATING == ISOLATING,
                "{port}: ACS control is {control:#x} {when}"
            );
        }
        Ok(())
    };
    expect("before sleep")?;
    sleep()?;
    expect("after sleep")
}

/// Number of the fault interrupt, and how often each processor has handled it.
fn interrupt() -> Result<(String, Vec<u64>)> {
    let text = sysfs::read("/proc/interrupts")?;
    let line = text.lines().find(|line| line.ends_with("vtd-fault"));
    let (number, rest) = line
        .and_then(|line| line.split_once(':'))
        .context("no interrupt is called vtd-fault")?;
    let counts = rest.split_whitespace().map_while(|word| word.parse().ok());
    Ok((number.trim().to_owned(), counts.collect()))
}

/// Provokes faults until one is handled by `cpu`: a move takes effect with the next interrupt or
/// the one after it.
fn handled_by(cpu: usize) -> Result {
    for _ in 0..3 {
        let before = interrupt()?.1;
        fault(&mut KernelLog::from_now()?)?;
        let after = interrupt()?.1;
        if after.get(cpu) > before.get(cpu) {
            return Ok(());
        }
    }
    anyhow::bail!("processor {cpu} handles no fault interrupt")
}

/// The fault interrupt is handled by a processor that goes away.
fn faults_after_its_processor_is_gone(_: &mut Context) -> Result {
    let cpu = "/sys/devices/system/cpu/cpu1/online";
    if !Path::new(cpu).exists() {
        return Err(skip("one processor only"));
    }
    let (irq, _) = interrupt()?;
    sysfs::write(format!("/proc/irq/{irq}/smp_affinity_list"), "1")?;
    handled_by(1)?;
    sysfs::write(cpu, "0")?;
    let result = handled_by(0);
    sysfs::write(cpu, "1")?;
    result
}

fn main() -> ExitCode {
    expect_faults(16);
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("data is intact after sleep", data_after_sleep)
            .case("faults are reported after sleep", faults_after_sleep)
            .case("ports isolate after sleep", ports_after_sleep)
            .case(
                "faults are reported after their processor is gone",
                faults_after_its_processor_is_gone,
            )
            .run()
    })
}
