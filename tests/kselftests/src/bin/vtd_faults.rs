// SPDX-License-Identifier: GPL-2.0

//! What vtd tells of the requests that it blocks: who, which page, which access, why, and how
//! often.

use anyhow::{ensure, Context as _};
use siov_kselftests::edu::Edu;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_faults, note, Plan, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::{Function, E1000E, EDU};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{faults, poll, stats, PAGE};
use std::process::ExitCode;
use std::time::Instant;

/// What vtd's limit lets through: lines per interval of seconds.
const LIMIT: (u64, u64) = (10, 5);

/// Name of the interrupt in /proc/interrupts.
const INTERRUPT: &str = "vtd-fault";

/// Registers of the 82574's transmitter (its data sheet, 10.2.5 and 10.2.6) and their bits.
mod transmit {
    pub const CONTROL: usize = 0x400;
    pub const ENABLE: u32 = 1 << 1;
    pub const RING_LOW: usize = 0x3800;
    pub const RING_HIGH: usize = 0x3804;
    pub const RING_BYTES: usize = 0x3808;
    pub const HEAD: usize = 0x3810;
    pub const TAIL: usize = 0x3818;
    pub const DESCRIPTORS: u32 = 256;
    pub const DESCRIPTOR_BYTES: u32 = 16;
}

/// A network card that fetches a descriptor whenever its tail register moves on.
struct Card {
    function: Function,
    registers: Mapping,
    tail: u32,
    _device: Device,
}

impl Card {
    fn fetch(&mut self) {
        self.tail = (self.tail + 1) % transmit::DESCRIPTORS;
        self.registers.write32(transmit::TAIL, self.tail);
    }
}

struct Engine {
    function: Function,
    edu: Edu,
    _device: Device,
}

struct Context {
    container: Container,
    engines: Vec<Engine>,
    card: Card,
    log: KernelLog,
    first_stage: bool,
}

/// An address where nothing is mapped.
const NOWHERE: u64 = 0x12_3456_7000;

fn setup() -> Result<Context> {
    let mut container = Container::new()?;
    let mut engines = Vec::new();
    for function in Function::all(EDU)?.into_iter().take(2) {
        let device = container.add(&function)?;
        device.set_bus_master(true)?;
        engines.push(Engine {
            function,
            edu: Edu::new(device.map_bar(0)?)?,
            _device: device,
        });
    }
    ensure!(engines.len() == 2, "the guest has fewer than two edu");
    let function = Function::first(E1000E)?;
    let device = container.add(&function)?;
    device.set_bus_master(true)?;
    let registers = device.map_bar(0)?;
    let bytes = transmit::DESCRIPTORS * transmit::DESCRIPTOR_BYTES;
    for (register, value) in [
        (transmit::RING_LOW, NOWHERE as u32),
        (transmit::RING_HIGH, (NOWHERE >> 32) as u32),
        (transmit::RING_BYTES, bytes),
        (transmit::HEAD, 0),
        (transmit::TAIL, 0),
        (transmit::CONTROL, transmit::ENABLE),
    ] {
        registers.write32(register, value);
    }
    Ok(Context {
        container,
        engines,
        card: Card {
            function,
            registers,
            tail: 0,
            _device: device,
        },
        log: KernelLog::from_now()?,
        first_stage: std::env::args().any(|word| word == "--first-stage"),
    })
}

/// Repeats `provoke`, which makes one blocked request of engine `index`, until the line about it is
/// in the log: the limit may hold it back for a while.
fn expect_line(
    c: &mut Context,
    index: usize,
    provoke: impl Fn(&Edu) -> Result,
    what: &str,
    reason: &str,
) -> Result {
    let Engine { function, edu, .. } = &c.engines[index];
    let start = format!("vfio-pci {}: vtd fault: ", function.address());
    let line = format!("{start}{}: {what}: {reason}", function.requester());
    poll::until(&format!("the line {line:?}"), || {
        faults::expect(function, 1, || provoke(edu))?;
        let lines = c.log.lines()?;
        let own = lines.iter().filter(|known| known.starts_with(&start));
        if let Some(other) = own.clone().find(|known| !known.contains(what)) {
            note(format!("other line: {other}"));
        }
        Ok(own.clone().any(|known| *known == line).then_some(()))
    })
}

fn lines(c: &mut Context) -> Result {
    let (write, read) = if c.first_stage {
        let absent = "first-stage entry not present (reason 0x71)";
        (absent, absent)
    } else {
        // What QEMU 11.1 reports of second-stage tables whatever the mode.
        (
            "page not writable (reason 0x05)",
            "page not readable (reason 0x06)",
        )
    };
    let page = NOWHERE + 5 * PAGE as u64;
    let what = format!("write to page {page:#x}");
    expect_line(c, 0, |edu| edu.write(page, 16), &what, write)?;
    // The page, not the address.
    let page = NOWHERE + 6 * PAGE as u64;
    let what = format!("read of page {page:#x}");
    expect_line(c, 1, |edu| edu.read(page + 0x123, 16), &what, read)
}

fn permission(c: &mut Context) -> Result {
    let memory = Mapping::memory(PAGE)?;
    let page = NOWHERE + 9 * PAGE as u64;
    c.container.map(page, &memory, 0, PAGE, Access::Read)?;
    let reason = if c.first_stage { 0x85 } else { 0x05 };
    let what = format!("write to page {page:#x}");
    let reason = format!("page not writable (reason {reason:#04x})");
    let result = expect_line(c, 0, |edu| edu.write(page, 16), &what, &reason);
    c.container.unmap(page, PAGE)?;
    result
}

fn counted(c: &mut Context) -> Result {
    let [first, second] = [&c.engines[0], &c.engines[1]];
    let total = faults::counter("faults")?;
    // Whose requests are blocked, and nobody else's.
    faults::expect(&second.function, 0, || {
        faults::expect(&first.function, 3, || {
            (0..3).try_for_each(|_| {
                faults::expect(&first.function, 1, || first.edu.write(NOWHERE, 16))
            })
        })
    })?;
    let total = faults::counter("faults")? - total;
    ensure!(total == 3, "the unit counts {total} faults, not 3");
    Ok(())
}

fn storm(c: &mut Context) -> Result {
    const FAULTS: u64 = 1000;
    let Context { card, log, .. } = c;
    let function = card.function.clone();
    let words = ["vtd fault: ", function.address()];
    let summary = ["vtd blocked requests: ", "suppressed"];
    let summaries = log.count(&summary)?;
    let (start, lines) = (Instant::now(), log.count(&words)?);
    let interrupts = stats::interrupts(INTERRUPT)?;
    let before = faults::of(&function)?;
    for done in 1..=FAULTS {
        card.fetch();
        poll::until_true("a fetch is blocked", || {
            Ok(faults::of(&function)? >= before + done)
        })?;
    }
    let counted = faults::of(&function)? - before;
    ensure!(
        counted == FAULTS,
        "{counted} of {FAULTS} faults are counted"
    );
    // One for each: the next came only when the last had been counted.
    let interrupts = stats::interrupts(INTERRUPT)? - interrupts;
    ensure!(
        interrupts == FAULTS,
        "{interrupts} interrupts for {FAULTS} faults"
    );
    let (seconds, lines) = (start.elapsed().as_secs(), log.count(&words)? - lines);
    note(format!("{lines} lines in {seconds} s"));
    // The first and the last interval need not lie within.
    let most = LIMIT.0 * ((seconds + 1) / LIMIT.1 + 2);
    ensure!(
        lines as u64 <= most,
        "{lines} lines for {FAULTS} faults, at most {most}"
    );
    poll::until_true("the kernel says how many lines were held back", || {
        card.fetch();
        Ok(log.count(&summary)? > summaries)
    })
}

/// Faster than the unit has room for.
fn flood(c: &mut Context) -> Result {
    const FETCHES: u32 = 5000;
    let function = c.card.function.clone();
    let before = faults::of(&function)?;
    (0..FETCHES).for_each(|_| c.card.fetch());
    poll::until_true("the flood is noticed", || {
        Ok(faults::of(&function)? > before)
    })?;
    // All of it has been worked off when one more is counted once.
    let engine = &c.engines[0];
    faults::expect(&engine.function, 1, || engine.edu.write(NOWHERE, 16))
}

/// While one device keeps the recording registers busy, faults of others are lost. A unit raises no
/// interrupt for that, and records nothing more until somebody has seen it.
fn overflow(c: &mut Context) -> Result {
    const TIMES: u64 = 10;
    let before = faults::counter("fault-overflows")?;
    poll::until_true("faults are lost", || {
        c.engines
            .iter()
            .for_each(|engine| engine.edu.start_write(NOWHERE, 0, 16));
        while c.engines.iter().any(|engine| engine.edu.is_busy()) {
            c.card.fetch();
        }
        Ok(faults::counter("fault-overflows")? >= before + TIMES)
    })?;
    let engine = &c.engines[0];
    faults::expect(&engine.function, 1, || engine.edu.write(NOWHERE, 16))
}

fn quiet(c: &mut Context) -> Result {
    let memory = Mapping::memory(PAGE)?;
    c.container
        .map(NOWHERE, &memory, 0, PAGE, Access::ReadWrite)?;
    let interrupts = stats::interrupts(INTERRUPT)?;
    let Engine { function, edu, .. } = c.engines.first().context("no engine")?;
    faults::expect(function, 0, || {
        edu.read(NOWHERE, PAGE)?;
        edu.write(NOWHERE, PAGE)
    })?;
    c.container.unmap(NOWHERE, PAGE)?;
    let interrupts = stats::interrupts(INTERRUPT)? - interrupts;
    ensure!(
        interrupts == 0,
        "{interrupts} fault interrupts without a fault"
    );
    Ok(())
}

fn main() -> ExitCode {
    // As many as the limit lets through in the time that a slow guest may take.
    expect_faults(200);
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("a line names device, access, page and reason", lines)
            .case("a line tells of missing permission", permission)
            .case(
                "faults are counted for the device that sent the requests",
                counted,
            )
            .case("1000 faults are 1000 interrupts and few lines", storm)
            .case("a flood is survived", flood)
            .case("faults that are lost do not stop the rest", overflow)
            .case("without a fault there is no interrupt", quiet)
            .run()
    })
}
