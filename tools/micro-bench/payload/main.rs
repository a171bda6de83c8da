// SPDX-License-Identifier: GPL-2.0

//! micro-bench: what one hypervisor operation costs, measured by a guest without an operating
//! system.
//!
//! `arch` brings the machine up and calls [`main`] on the first processor, which runs the tests of
//! the machine one after the other and returns the exit status.

#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]
#![deny(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks
)]

mod arch;
mod bench;
mod console;
mod irq;
mod libc;
mod once;
mod wait;

use console::print;
use core::panic::PanicInfo;
use micro_bench_model::args::Args;
use micro_bench_model::output::{
    Exit, Heading, Outcome, Report, EXIT_ABORT, EXIT_FAILED, EXIT_SKIPPED, EXIT_USAGE,
};

/// Runs what `command_line` asks for on a machine that `detect` finds.
fn main(
    command_line: &str,
    detect: impl FnOnce(&Args<'_>) -> Result<arch::Machine, &'static str>,
) -> u8 {
    let args = match Args::parse(command_line) {
        Ok(args) => args,
        Err(error) => {
            print!("micro-bench: {error}\n");
            return EXIT_USAGE;
        }
    };
    if let Some(unknown) = args
        .tests
        .and_then(|tests| tests.iter().find(|name| !is_test(name)))
    {
        print!("micro-bench: no test '{unknown}' on {}\n", arch::NAME);
        return EXIT_USAGE;
    }
    let mut machine = match detect(&args) {
        Ok(machine) => machine,
        Err(reason) => {
            print!("micro-bench: {reason}\n");
            return EXIT_USAGE;
        }
    };
    run_all(&mut machine, &args)
}

fn is_test(name: &str) -> bool {
    arch::CASES.iter().any(|case| case.name == name)
}

fn run_all(machine: &mut arch::Machine, args: &Args<'_>) -> u8 {
    if args.mode != micro_bench_model::args::Mode::Json {
        print!("Timer Frequency {} Hz\n", machine.clock().hz());
    }
    print!("{}", Heading(args.mode));
    let (mut measured, mut failed) = (0u32, 0u32);
    let samples = bench::take_samples().unwrap_or_default();
    for case in arch::CASES.iter().filter(|case| args.wants(case.name)) {
        let mut reason = bench::Reason::new();
        let outcome = bench::run(case, machine, args, samples, &mut reason);
        match outcome {
            Outcome::Measured(_) => measured += 1,
            Outcome::Failed(..) => failed += 1,
            Outcome::Skipped(..) => (),
        }
        print!("{}", Report(args.mode, &machine.description(), &outcome));
    }
    match (measured, failed) {
        (_, 1..) => EXIT_FAILED,
        (0, 0) => EXIT_SKIPPED,
        (_, 0) => 0,
    }
}

/// Says the status the way kvm-unit-tests do, then switches the machine off.
fn exit(status: u8) -> ! {
    print!("{}", Exit(status));
    arch::power_off(status)
}

/// After something that must not happen and was reported.
fn abort() -> ! {
    exit(EXIT_ABORT)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print!("micro-bench: {info}\n");
    abort()
}
