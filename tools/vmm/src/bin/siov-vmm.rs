// SPDX-License-Identifier: GPL-2.0

//! What coalescing saves: a table for people, or figures for `scripts/bench`.

use anyhow::{ensure, Context, Result};
use siov_vmm::bench::{Contenders, WriteTime};
use siov_vmm::table::{Table, ACCESSES};
use siov_vmm::{bench, debugfs, Board, Vm};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: siov-vmm table|bench|contend

  table    accesses of a guest to a clock and a PCI host bridge, without and with coalescing
  bench    guest instructions per access; only of use under -icount
  contend  time per write of one processor, and of each of two that write at the same time
";

fn table() -> Result<()> {
    let mut table = Table::new();
    for coalesce in [false, true] {
        let vm = Vm::new()?;
        let mut vcpu = vm.vcpu(0)?;
        let mut board = Board::new();
        if coalesce {
            board.coalesce(&vm, &vcpu)?;
        }
        table.measure(&mut vcpu, &mut board, coalesce)?;
        if coalesce {
            println!("{table}");
            if let Ok(report) = debugfs::read(&debugfs::path(&vm)) {
                println!("coalesced_io of this VM in debugfs:");
                for (zone, counts) in &report.zones {
                    println!(
                        "  port {:#x}: {} coalesced, {} found the ring full",
                        zone.addr, counts.coalesced, counts.full
                    );
                }
                println!("  at most {} waited at a time", report.numbers["peak"]);
            }
        }
    }
    let index = ACCESSES[0].name;
    let (without, with) = table.exits(index).context("rows of the clock's index")?;
    ensure!(
        without > 0 && with == 0,
        "{index}: {without} exits, then {with}"
    );
    Ok(())
}

fn contend() -> Result<()> {
    let mut contenders = Contenders::new()?;
    // Once for what is slow at first only.
    contenders.measure()?;
    let WriteTime { alone, contended } = contenders.measure()?;
    println!("{alone:.0} ns alone, {contended:.0} ns while another writes");
    Ok(())
}

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("table") => table(),
        Some("bench") => bench::print(),
        Some("contend") => contend(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("siov-vmm: {error:#}");
            ExitCode::FAILURE
        }
    }
}
