// SPDX-License-Identifier: GPL-2.0

//! Times a coalesced write while two processors contend for the ring, on the shipped kvm.ko and on
//! ours in turn: what else the machine does meets both.

use anyhow::Context;
use siov_kselftests::ktap::Result;
use siov_kselftests::{kernel_module, poll};
use siov_vmm::bench::Contenders;
use std::process::ExitCode;

/// How often each module is loaded, and measurements each time.
const ROUNDS: usize = 10;
const MEASUREMENTS: usize = 7;

#[derive(Clone, Copy)]
enum Module {
    Shipped,
    Ours,
}

/// Replaces kvm.ko, and with it the vendor's module, which is the same for both.
fn load(module: Module) -> Result {
    for name in ["kvm_amd", "kvm"] {
        // A machine that has ended holds kvm.ko for a moment longer.
        poll::until_true("kvm.ko is free", || {
            Ok(kernel_module::references(name)? == 0)
        })?;
        kernel_module::unload(name)?;
    }
    match module {
        Module::Shipped => kernel_module::load_stock("kvm", "")?,
        Module::Ours => kernel_module::load("kvm", "")?,
    }
    kernel_module::modprobe("kvm_amd", "")
}

fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no value")
}

fn run() -> Result {
    let mut shipped = Vec::new();
    let mut ours = Vec::new();
    for round in 0..ROUNDS {
        let order = match round % 2 {
            0 => [Module::Shipped, Module::Ours],
            _ => [Module::Ours, Module::Shipped],
        };
        for module in order {
            load(module)?;
            let times = match module {
                Module::Shipped => &mut shipped,
                Module::Ours => &mut ours,
            };
            let mut contenders = Contenders::new()?;
            // Once for what is slow at first only.
            contenders.measure()?;
            for _ in 0..MEASUREMENTS {
                times.push(contenders.measure()?);
            }
        }
    }
    for (name, times) in [("C", shipped), ("Rust", ours)] {
        let alone = median(times.iter().map(|time| time.alone).collect())?;
        let contended = median(times.iter().map(|time| time.contended).collect())?;
        println!("# bench[{name}] {alone:.0} ns write, one processor (wall clock)");
        println!("# bench[{name}] {contended:.0} ns write, while another writes (wall clock)");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvm_contention: {error:#}");
            ExitCode::FAILURE
        }
    }
}
