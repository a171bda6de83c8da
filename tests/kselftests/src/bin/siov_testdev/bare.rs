// SPDX-License-Identifier: GPL-2.0

//! A machine whose IOMMU takes no PASIDs, or that has none: the device must say so and do the rest.
//! Addresses are physical ones.

use anyhow::{ensure, Context as _};
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::regs::{global, pci, privileged, FaultReason};
use siov_kselftests::siov_testdev::{copy, fill, SiovTestdev};
use siov_kselftests::{sysfs, PAGE};
use std::fs::File;
use std::os::unix::fs::FileExt;

pub struct Context {
    ktest: Ktest,
    devices: Vec<SiovTestdev>,
}

const COMMAND: u64 = 4;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;

/// The PASID capability is the first one in extended configuration space.
const PASID_CAPABILITY: u64 = 0x100;
const PASID_CONTROL: u64 = PASID_CAPABILITY + 6;

/// Opens configuration space.
fn config(function: &Function) -> Result<File> {
    let path = function.path("config");
    Ok(File::options().read(true).write(true).open(path)?)
}

fn set_word(config: &File, at: u64, bits: u16) -> Result {
    let mut word = [0; 2];
    config.read_exact_at(&mut word, at)?;
    let word = u16::from_le_bytes(word) | bits;
    config.write_all_at(&word.to_le_bytes(), at)?;
    Ok(())
}

impl Context {
    pub fn new() -> Result<Self> {
        let ktest = Ktest::open()?;
        let mut devices = Vec::new();
        for function in Function::all(SIOV_TESTDEV)? {
            if function.group().is_some() {
                ktest.take(&function)?;
            } else {
                sysfs::write(function.path("enable"), "1")?;
                set_word(
                    &config(&function)?,
                    COMMAND,
                    COMMAND_MEMORY | COMMAND_MASTER,
                )?;
            }
            devices.push(SiovTestdev::new(function)?);
        }
        ensure!(devices.len() >= 2, "the guest has fewer than two devices");
        Ok(Self { ktest, devices })
    }
}

pub fn untagged(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(1)?;
    let device = &c.devices[0];
    let adi = device.adi(0);
    let data = bytes(PAGE, 1);
    buffer.memory.write(0, &data);
    let whole = copy(buffer.phys, buffer.phys + PAGE as u64, PAGE);

    adi.enable(None);
    let fault = adi.fault(&whole)?;
    ensure!(
        fault.reason == Some(FaultReason::UntaggedForbidden),
        "{fault:x?}"
    );
    adi.drain()?;
    adi.enable_untagged();
    adi.succeed(&whole)?;
    expect_equal("copy", &buffer.memory.read(PAGE, PAGE), &data)?;

    // Bus mastering is what configuration space says.
    let config = config(&device.function)?;
    let mut command = [0; 2];
    config.read_exact_at(&mut command, COMMAND)?;
    let off = u16::from_le_bytes(command) & !COMMAND_MASTER;
    config.write_all_at(&off.to_le_bytes(), COMMAND)?;
    let fault = adi.fault(&whole)?;
    ensure!(
        fault.reason == Some(FaultReason::BusMasterOff),
        "{fault:x?}"
    );
    config.write_all_at(&command, COMMAND)?;
    adi.succeed(&whole)?;
    adi.drain()
}

pub fn tagged(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(1)?;
    let device = &c.devices[0];
    let adi = device.adi(0);
    let write = fill(buffer.phys, 64, !0);

    // The kernel has not enabled PASID, because nobody wants it.
    adi.enable(Some(5));
    let fault = adi.fault(&write)?;
    ensure!(fault.reason == Some(FaultReason::PasidOff), "{fault:x?}");

    let config = config(&device.function)?;
    let mut id = [0; 2];
    config.read_exact_at(&mut id, PASID_CAPABILITY)?;
    ensure!(
        u16::from_le_bytes(id) == 0x1b,
        "extended capability {id:x?}"
    );
    set_word(&config, PASID_CONTROL, 1)?;
    ensure!(device.global32(global::offset::STATUS) & global::Status::PASID.bits() != 0);
    let fault = adi.fault(&write)?;
    ensure!(
        fault.reason == Some(FaultReason::PasidUnsupported),
        "{fault:x?}"
    );
    ensure!(buffer.memory.read(0, PAGE) == [0; PAGE]);
    adi.drain()?;

    // A reset of the function switches it off again.
    sysfs::write(device.function.path("reset"), "1")?;
    let mut control = [0; 2];
    config.read_exact_at(&mut control, PASID_CONTROL)?;
    ensure!(
        control == [0; 2],
        "PASID control {control:x?} after a reset"
    );
    Ok(())
}

/// A device whose DMA hits its own registers must not stumble; those of its neighbour work.
pub fn registers(c: &mut Context) -> Result {
    let [first, second, ..] = c.devices.as_slice() else {
        anyhow::bail!("one device");
    };
    let base = |device: &SiovTestdev, bar: usize| -> Result<u64> {
        let resources = sysfs::read(device.function.path("resource"))?;
        let line = resources.lines().nth(bar).context("short resource file")?;
        let start = line.split(' ').next().unwrap_or_default();
        Ok(u64::from_str_radix(start.trim_start_matches("0x"), 16)?)
    };
    let delay = pci::privileged_page(3) + privileged::offset::DELAY;
    let value = |device: &SiovTestdev| device.global32(delay);

    let target = base(second, pci::BAR_PRIVILEGED)? + delay;
    ensure!(first.raw_write(None, target, 1234)?.is_none());
    ensure!(value(second) == 1234);

    // QEMU may refuse it as well; in any case nothing happens.
    let target = base(first, pci::BAR_PRIVILEGED)? + delay;
    first.raw_write(None, target, 1234)?;
    ensure!(value(first) == 0, "a device wrote its own register");
    let own_doorbell = base(first, pci::BAR_USER)?;
    let adi = first.adi(0);
    adi.enable_untagged();
    adi.execute(&fill(own_doorbell, PAGE, !0))?;
    adi.execute(&copy(own_doorbell, own_doorbell + PAGE as u64, PAGE))?;
    ensure!(value(first) == 0);
    first.reset();
    second.reset();
    Ok(())
}
