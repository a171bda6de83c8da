// SPDX-License-Identifier: GPL-2.0

//! A DMAR table with mistakes is used, and the log has one line for each. Goes with the tables of
//! `vtd-mistakes.suite`; with the argument `none`, the table has none.

use anyhow::{ensure, Context as _};
use siov_kselftests::edu::Edu;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_faults, Plan, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::{faults, kernel_module, poll, sysfs, PAGE};
use std::fs::File;
use std::process::ExitCode;

/// Each line has all of its words, and no other line has.
const LINES: [&[&str]; 12] = [
    &["DRHD", "device 0x20 function 0x0", "an I/O APIC"],
    &["DRHD", "device scope", "an endpoint without a path"],
    &["DRHD", "no ANDD declares ACPI device 4"],
    &["DRHD at offset 0x76", "0xfed90000", "DRHD at offset 0x30"],
    &["DRHD", "INCLUDE_PCI_ALL for segment 0000"],
    &["RMRR", "0x0 to 0x0 is empty"],
    &["RMRR", "0x30100000 to 0x300fffff is empty"],
    &["RMRR", "0x30000800 to 0x300017ff", "rounded outward"],
    &["RMRR", "0x20000000 to 0x20000fff", "usable memory"],
    &["RMRR", "0x2f00000000 to 0x2f00000fff", "not reserved"],
    &["RHSA", "0x12345000"],
    &["ANDD", "no DRHD names ACPI device 5"],
];

/// What all of them have.
const BUG: &[&str] = &["vtd: [Firmware Bug]: DMAR:"];
const FIRMWARE: &[&str] = &["BIOS vendor: SeaBIOS; Ver: ", "; Product Version: "];

/// `TAINT_FIRMWARE_WORKAROUND`.
const TAINT: u64 = 1 << 11;

/// Memory that the kernel's command line keeps out of the page allocator, behind all regions.
const SCRATCH: u64 = 0x3004_0000;

/// An edu that the kernel does not know as a PCI function any more.
struct Hidden(Edu);

impl Hidden {
    fn new(function: &Function) -> Result<Self> {
        const COMMAND: usize = 4;
        const MEMORY_AND_MASTER: u8 = (1 << 1) | (1 << 2);
        let resource = sysfs::read(function.path("resource"))?;
        let bar = resource.split_whitespace().next().context("no BAR")?;
        let bar = u64::from_str_radix(bar.trim_start_matches("0x"), 16)?;
        let config = File::options()
            .read(true)
            .write(true)
            .open(function.path("config"))?;
        std::os::unix::fs::FileExt::write_all_at(&config, &[MEMORY_AND_MASTER], COMMAND as u64)?;
        function.remove()?;
        Ok(Self(Edu::new(physical(bar, 0x1000)?)?))
    }

    /// Copies a page by way of the device.
    fn copy(&self, from: u64, to: u64) -> Result {
        self.0.read(from, PAGE)?;
        self.0.write(to, PAGE)
    }
}

fn physical(address: u64, len: usize) -> Result<Mapping> {
    let file = File::options().read(true).write(true).open("/dev/mem")?;
    Mapping::of_file(file, address, len)
}

struct Context {
    named: Function,
    named_again: Function,
    left_alone: Function,
    acpi: Hidden,
    unknown: Hidden,
    log: KernelLog,
}

fn setup() -> Result<Context> {
    let functions = Function::all(EDU)?;
    let [named, named_again, left_alone, acpi, unknown] = functions.as_slice() else {
        anyhow::bail!("the guest has {} edu, not five", functions.len());
    };
    Ok(Context {
        named: named.clone(),
        named_again: named_again.clone(),
        left_alone: left_alone.clone(),
        acpi: Hidden::new(acpi)?,
        unknown: Hidden::new(unknown)?,
        log: KernelLog::from_now()?,
    })
}

fn tainted() -> Result<bool> {
    let taint: u64 = sysfs::read("/proc/sys/kernel/tainted")?.trim().parse()?;
    Ok(taint & TAINT != 0)
}

fn used(c: &mut Context) -> Result {
    kernel_module::load("vtd", "")?;
    c.log.wait_for(&["vtd: dmar0 at 0xfed90000"])?;
    Ok(())
}

fn lines(c: &mut Context) -> Result {
    let all = c.log.count(BUG)?;
    for line in LINES {
        let words = [BUG, line, FIRMWARE].concat();
        let count = c.log.count(&words)?;
        ensure!(
            count == 1,
            "{count} lines with {line:?}:\n{}",
            c.log.lines()?.join("\n")
        );
    }
    ensure!(all == LINES.len(), "{all} lines, {} mistakes", LINES.len());
    ensure!(tainted()?, "no taint");
    Ok(())
}

fn no_lines(c: &mut Context) -> Result {
    ensure!(c.log.count(&["Firmware Bug"])? == 0, "a line");
    ensure!(!tainted()?, "a taint");
    Ok(())
}

fn regions(c: &mut Context) -> Result {
    let text = sysfs::read(c.named.group_path()?.join("reserved_regions"))?;
    let direct: Vec<&str> = text.lines().filter(|l| l.ends_with("direct")).collect();
    ensure!(
        direct == ["0x0000000030000000 0x0000000030001fff direct"],
        "{text:?}"
    );
    Ok(())
}

fn units(c: &mut Context) -> Result {
    ensure!(c.named.group().is_some(), "{} has no group", c.named);
    ensure!(
        c.named_again.group().is_some(),
        "{}, of the second description, has no group",
        c.named_again
    );
    ensure!(
        c.left_alone.group().is_none(),
        "{} has a group behind a unit that is left alone",
        c.left_alone
    );
    for words in [
        ["vtd: dmar1 at 0x30080000 left alone", "no scalable mode"],
        [
            "vtd: dmar2 at 0x30082000 left alone, DMA of 0 functions",
            "no scalable mode",
        ],
        [
            "vtd: dmar3 at 0x300a0000 left alone, DMA of 1 functions",
            "no scalable mode",
        ],
    ] {
        ensure!(c.log.count(&words)? == 1, "no line with {words:?}");
    }
    ensure!(faults::units()?.len() == 1, "more than one unit in debugfs");
    Ok(())
}

fn acpi_devices(c: &mut Context) -> Result {
    // A backslash of the message is `\x5c` in the record.
    for words in [
        ["_SB.PCI0: ", "DMA of 00:05.0 passes untranslated"],
        ["_SB.NONE does not exist: ", "DMA of 00:1e.0 is blocked"],
        ["_SB.PCI0: ", "its DMA is that of 0000:00:02.0"],
    ] {
        let words = [&["vtd: dmar0: ACPI device "], &words[..]].concat();
        ensure!(
            c.log.count(&words)? == 1,
            "no line {words:?}:\n{}",
            c.log.lines()?.join("\n")
        );
    }
    let memory = physical(SCRATCH, 3 * PAGE)?;
    let data = bytes(PAGE, 1);
    memory.write(0, &data);
    memory.write(PAGE, &[0; 2 * PAGE]);
    let before = faults::counter("faults")?;
    c.acpi.copy(SCRATCH, SCRATCH + PAGE as u64)?;
    expect_equal("copied by the ACPI device", &memory.read(PAGE, PAGE), &data)?;
    ensure!(faults::counter("faults")? == before, "a blocked request");

    c.unknown.copy(SCRATCH, SCRATCH + 2 * PAGE as u64)?;
    poll::until_true("requests are blocked", || {
        Ok(faults::counter("faults")? > before)
    })?;
    let untouched = memory.read(2 * PAGE, PAGE);
    expect_equal("not copied", &untouched, &[0; PAGE])
}

fn main() -> ExitCode {
    let none = std::env::args().nth(1).as_deref() == Some("none");
    if !none {
        expect_faults(4);
    }
    ktap::run(setup, |context| {
        let plan = Plan::new(context).case("the table is used", used);
        if none {
            return plan
                .case("nothing is said of a table without mistakes", no_lines)
                .run();
        }
        plan.case("there is a line for each mistake", lines)
            .case("bad regions are skipped or rounded outward", regions)
            .case(
                "units described twice are one, those that lack something are left alone",
                units,
            )
            .case("devices of the ACPI namespace keep their DMA", acpi_devices)
            .run()
    })
}
