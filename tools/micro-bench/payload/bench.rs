// SPDX-License-Identifier: GPL-2.0

//! Runs one test: preparation, warm-up, measured repetitions, and the check that it did what it
//! claims.

use crate::arch::{self, Machine};
use crate::irq;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use micro_bench_model::args::{Args, MAX_REPEAT};
use micro_bench_model::output::{Measured, Outcome};
use micro_bench_model::stats::{summarize, Histogram};

/// One operation to measure.
pub struct Case {
    /// As on the command line and in the table.
    pub name: &'static str,
    /// Repetitions, unless the command line says otherwise.
    pub times: u32,
    /// Whether each repetition ends with one interrupt, which is then counted.
    pub interrupts: bool,
    /// What each repetition waits on purpose, in milliseconds; it is taken off.
    pub wait_ms: u64,
    /// Brings the machine into the state that the operation needs, and checks that it does what it
    /// should.
    pub prepare: fn(&mut Machine) -> Result<(), Obstacle>,
    /// The operation. Returns whether it came to its end.
    pub run: fn(&Machine) -> bool,
}

impl Case {
    /// A test that needs no interrupt, repeated as often as in the original.
    pub const fn plain(
        name: &'static str,
        prepare: fn(&mut Machine) -> Result<(), Obstacle>,
        run: fn(&Machine) -> bool,
    ) -> Self {
        Self {
            name,
            times: MAX_REPEAT,
            interrupts: false,
            wait_ms: 0,
            prepare,
            run,
        }
    }

    /// A test each of whose repetitions ends with one interrupt.
    pub const fn interrupting(
        name: &'static str,
        prepare: fn(&mut Machine) -> Result<(), Obstacle>,
        run: fn(&Machine) -> bool,
    ) -> Self {
        Self {
            interrupts: true,
            ..Self::plain(name, prepare, run)
        }
    }
}

/// Why a test is not measured.
pub enum Obstacle {
    /// The machine has not what the test is about.
    Skip(&'static str),
    /// It has it, but it does not work.
    Fail(&'static str),
}

/// The text of a failure; longer ones are cut.
pub struct Reason {
    text: [u8; 160],
    used: usize,
}

impl Reason {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            text: [0; 160],
            used: 0,
        }
    }

    fn as_str(&self) -> &str {
        self.text
            .get(..self.used)
            .and_then(|text| core::str::from_utf8(text).ok())
            .unwrap_or("?")
    }
}

impl Write for Reason {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (byte, to) in text.bytes().zip(self.text.iter_mut().skip(self.used)) {
            *to = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Memory for the samples of one test.
struct Samples(UnsafeCell<[u32; MAX_REPEAT as usize]>);

// SAFETY: `take_samples` gives it away once.
unsafe impl Sync for Samples {}

/// The memory for the samples of one test; once.
pub fn take_samples() -> Option<&'static mut [u32]> {
    static SAMPLES: Samples = Samples(UnsafeCell::new([0; MAX_REPEAT as usize]));
    static TAKEN: AtomicBool = AtomicBool::new(false);

    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the flag lets one caller come here, so this is the only reference.
    Some(unsafe { &mut *SAMPLES.0.get() })
}

/// Ticks that one run of `operation` takes, and whether it came to its end. The barriers keep
/// neighbouring instructions out of the interval.
#[inline(always)]
fn measure(operation: fn(&Machine) -> bool, machine: &Machine) -> (u64, bool) {
    arch::barrier();
    let start = arch::counter();
    let done = operation(machine);
    arch::barrier();
    (arch::counter().wrapping_sub(start), done)
}

/// Runs the test, with memory for its samples and for the text of a failure.
pub fn run<'a>(
    case: &Case,
    machine: &mut Machine,
    args: &Args<'_>,
    samples: &mut [u32],
    reason: &'a mut Reason,
) -> Outcome<'a> {
    match (case.prepare)(machine) {
        Ok(()) => (),
        Err(Obstacle::Skip(why)) => return Outcome::Skipped(case.name, why),
        Err(Obstacle::Fail(why)) => return Outcome::Failed(case.name, why),
    }
    let before = irq::counts();
    let repeat = args.repeat.unwrap_or(case.times) as usize;
    let taken = match repetitions(case, machine, args.warmup, samples.iter_mut().take(repeat)) {
        Ok(taken) => taken,
        Err(Lost) => {
            let received = irq::received() - before.received;
            let _ = write!(
                reason,
                "no interrupt in time, but received {received} successfully"
            );
            return Outcome::Failed(case.name, reason.as_str());
        }
    };
    if let Err(fmt::Error) = check_interrupts(case, taken + u64::from(args.warmup), before, reason)
    {
        return Outcome::Failed(case.name, reason.as_str());
    }
    let samples = samples.get_mut(..taken as usize).unwrap_or_default();
    let histogram = Histogram::of(samples);
    match summarize(samples) {
        Some(summary) => Outcome::Measured(Measured {
            name: case.name,
            summary,
            histogram,
            clock: machine.clock(),
        }),
        None => Outcome::Failed(case.name, "no repetition"),
    }
}

/// The operation did not come to its end.
struct Lost;

/// Fills `samples`, or as many as a few seconds allow. Returns how many.
fn repetitions<'s>(
    case: &Case,
    machine: &Machine,
    warmup: u32,
    samples: impl Iterator<Item = &'s mut u32>,
) -> Result<u64, Lost> {
    /// As in the original, a slow operation is measured for five seconds.
    const LIMIT_MS: u64 = 5000;
    let wait = machine.clock().ticks_of_ms(case.wait_ms);
    let limit = machine.clock().ticks_of_ms(LIMIT_MS);
    for _ in 0..warmup {
        if !(case.run)(machine) {
            return Err(Lost);
        }
    }
    let (mut taken, mut total) = (0, 0u64);
    for sample in samples {
        if total >= limit {
            break;
        }
        let (ticks, done) = measure(case.run, machine);
        if !done {
            return Err(Lost);
        }
        total = total.saturating_add(ticks);
        *sample = u32::try_from(ticks.saturating_sub(wait)).unwrap_or(u32::MAX);
        taken += 1;
    }
    Ok(taken)
}

/// An error stands for a text in `reason`.
fn check_interrupts(
    case: &Case,
    runs: u64,
    before: irq::Counts,
    reason: &mut Reason,
) -> fmt::Result {
    let after = irq::counts();
    let received = after.received - before.received;
    let stray = after.stray - before.stray;
    let wanted = if case.interrupts { runs } else { 0 };
    if received == wanted && stray == 0 {
        return Ok(());
    }
    write!(
        reason,
        "{runs} repetitions, but {received} interrupts and {stray} others"
    )?;
    Err(fmt::Error)
}
