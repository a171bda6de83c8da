// SPDX-License-Identifier: GPL-2.0

//! A guest without an operating system that drives an ADI: a mediated device of siov_testdev, as
//! QEMU's vfio-pci shows it.
//!
//! Says `PASS name` or `FAIL name: why` on the first serial port, then `END`, and ends by QEMU's
//! isa-debug-exit with the number of checks that failed. The command line can change that:
//!
//! - `busy`: keeps the ADI at work for ever, and says `BUSY`;
//! - `unheard`: lets a request fail, with MSI-X off.

#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]
#![deny(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks
)]

mod adi;
mod arch;
mod checks;
#[path = "../micro-bench/payload/console.rs"]
mod console;
#[path = "../micro-bench/payload/irq.rs"]
mod irq;
#[path = "../micro-bench/payload/libc.rs"]
mod libc;
mod memory;
#[path = "../micro-bench/payload/once.rs"]
mod once;
mod pci;

use adi::Adi;
use arch::machine::Machine;
use checks::{Context, CASES};
use console::print;
use core::panic::PanicInfo;
use siov_testdev_regs::pci::VENDOR_ID;

/// What a user's function is.
const DEVICE_ID: u16 = 0x5110;

fn main(command_line: &str, detect: fn() -> Result<Machine, &'static str>) -> u8 {
    match run(command_line, detect) {
        Ok(failed) => failed,
        Err(why) => {
            print!("FAIL before the first check: {why}\n");
            1
        }
    }
}

/// The number of checks that failed.
fn run(
    command_line: &str,
    detect: fn() -> Result<Machine, &'static str>,
) -> Result<u8, &'static str> {
    let function = pci::Function::find(VENDOR_ID, DEVICE_ID).ok_or("no ADI")?;
    let context = Context {
        machine: detect()?,
        function: &function,
        adi: Adi(function.bar(0).ok_or("no BAR 0")?),
        msix: function.msix().ok_or("no MSI-X")?,
    };
    match command_line.trim() {
        "" => {}
        "busy" => keep_busy(&context)?,
        "unheard" => fail_unheard(&context),
        _ => return Err("unknown command line"),
    }
    let mut failed = 0;
    for (name, check) in CASES {
        match check(&context) {
            Ok(()) => print!("PASS {name}\n"),
            Err(why) => {
                print!("FAIL {name}: {why}\n");
                failed += 1;
            }
        }
    }
    print!("END\n");
    Ok(failed)
}

/// Keeps the ADI at work for ever.
fn keep_busy(context: &Context<'_>) -> Result<(), &'static str> {
    context.function.set_master(true);
    loop {
        checks::fill_all(context)?;
        print!("BUSY\n");
    }
}

/// Lets a request fail without having given the vector of faults a message.
fn fail_unheard(context: &Context<'_>) -> ! {
    context.function.set_master(true);
    context.adi.submit(&checks::stray());
    loop {
        arch::cpu::relax();
    }
}

fn exit(status: u8) -> ! {
    arch::port::power_off(status)
}

/// After something that must not happen and was reported.
fn abort() -> ! {
    exit(u8::MAX >> 1)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print!("FAIL {info}\n");
    abort()
}
