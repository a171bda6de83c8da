// SPDX-License-Identifier: GPL-2.0

//! The counters in debugfs.

use crate::machine::{Machine, Observe};
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_ring::Ring;
use siov_vmm::debugfs::{path, read, Counts};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::{Event, Zone, MMIO};
use std::fs::File;
use std::io::Read;
use std::thread;

const PORTS: Zone = Zone::pio(0x70, 2);
const MEMORY: Zone = Zone::mmio(MMIO, 0x10_0000);

fn machine() -> Result<Machine> {
    let machine = Machine::new()?;
    PORTS.register(&machine.vm)?;
    MEMORY.register(&machine.vm)?;
    Ok(machine)
}

fn outs(count: u32) -> Operation {
    Operation::repeated(Kind::Out8, PORTS.addr, 0, count)
}

fn stores(count: u32) -> Operation {
    Operation::repeated(Kind::Store32, MMIO, 0, count)
}

fn coalesced(coalesced: u64) -> Counts {
    Counts {
        coalesced,
        ..Counts::default()
    }
}

pub fn zones(_: &mut ()) -> Result {
    let mut machine = machine()?;
    // The last one belongs to no zone.
    let beside = Operation::new(Kind::Out16, PORTS.addr + 1, 0);
    machine.run_undrained(&[outs(12), stores(30), outs(1), beside])?;
    let report = read(&path(&machine.vm))?;
    let expected = [(PORTS, coalesced(13)), (MEMORY, coalesced(30))];
    ensure!(report.zones == expected, "{report:x?}");
    ensure!(
        report.numbers["capacity"] == u64::from(Ring::CAPACITY),
        "{report:?}"
    );
    ensure!(report.numbers["waiting"] == 43, "{report:?}");
    ensure!(report.numbers["peak"] == 43, "{report:?}");
    while machine.ring.pop().is_some() {}
    machine.run_undrained(&[outs(2)])?;
    let report = read(&path(&machine.vm))?;
    ensure!(report.numbers["waiting"] == 2, "{report:?}");
    ensure!(report.numbers["peak"] == 43, "{report:?}");
    ensure!(report.gone == Counts::default(), "{report:?}");
    Ok(())
}

pub fn full(_: &mut ()) -> Result {
    let mut machine = machine()?;
    machine.run_undrained(&[outs(100), stores(100), outs(3)])?;
    let report = read(&path(&machine.vm))?;
    let ports = Counts {
        coalesced: 100,
        full: 3,
        bad_index: 0,
    };
    let memory = Counts {
        coalesced: 69,
        full: 31,
        bad_index: 0,
    };
    ensure!(
        report.zones == [(PORTS, ports), (MEMORY, memory)],
        "{report:?}"
    );
    ensure!(report.numbers["peak"] == 169, "{report:?}");

    machine.ring.set_indices(0, 170);
    machine.run_undrained(&[stores(5)])?;
    let counts = read(&path(&machine.vm))?.zone(MEMORY)?;
    ensure!(
        counts
            == Counts {
                bad_index: 5,
                ..memory
            },
        "{counts:?}"
    );
    Ok(())
}

/// Both write to one zone. Its counter is no atomic one: the lock of the ring makes it count all.
pub fn processors(_: &mut ()) -> Result {
    const WRITES: u32 = 60_000;
    let Machine { vm, vcpu, ring } = machine()?;
    let mut vcpus = [vcpu, vm.vcpu(1)?];
    // A reader outside of the ring: it is never full.
    ring.set_indices(Ring::ENTRIES, 0);
    thread::scope(|scope| -> Result {
        let runs: Vec<_> = vcpus
            .iter_mut()
            .map(|vcpu| {
                scope.spawn(|| -> Result {
                    vcpu.start(&[outs(WRITES)])?;
                    ensure!(vcpu.run()? == Event::Halt, "an exit");
                    Ok(())
                })
            })
            .collect();
        runs.into_iter()
            .try_for_each(|run| run.join().expect("no panic"))
    })?;
    let counts = read(&path(&vm))?.zone(PORTS)?;
    ensure!(counts == coalesced(2 * u64::from(WRITES)), "{counts:?}");
    let (_, last) = ring.indices();
    ensure!(
        last == 2 * WRITES % Ring::ENTRIES,
        "the next entry is {last}"
    );
    Ok(())
}

/// What they have counted stays, in one line.
pub fn gone(_: &mut ()) -> Result {
    let mut machine = machine()?;
    machine.run(&[outs(7), stores(5)])?;
    PORTS.unregister(&machine.vm)?;
    machine.run(&[outs(4), stores(2)])?;
    let report = read(&path(&machine.vm))?;
    ensure!(report.zones == [(MEMORY, coalesced(7))], "{report:?}");
    ensure!(report.gone == coalesced(7), "{report:?}");
    MEMORY.unregister(&machine.vm)?;
    PORTS.register(&machine.vm)?;
    machine.run(&[outs(1)])?;
    let report = read(&path(&machine.vm))?;
    ensure!(report.zones == [(PORTS, coalesced(1))], "{report:?}");
    ensure!(report.gone == coalesced(14), "{report:?}");
    Ok(())
}

pub fn absent(_: &mut ()) -> Result {
    let machine = Machine::new()?;
    let path = path(&machine.vm);
    ensure!(
        path.parent().is_some_and(|dir| dir.exists()),
        "{}",
        path.display()
    );
    ensure!(!path.exists(), "{} is there", path.display());
    // A refused zone is none.
    let _ = Zone { pio: 2, ..PORTS }.register(&machine.vm);
    ensure!(!path.exists(), "{} is there", path.display());
    PORTS.register(&machine.vm)?;
    ensure!(path.exists(), "{} is not there", path.display());
    Ok(())
}

/// A file that is open has nothing to say any more.
pub fn ending(_: &mut ()) -> Result {
    let machine = machine()?;
    let path = path(&machine.vm);
    let mut file = File::open(&path)?;
    drop(machine);
    ensure!(!path.exists(), "{} is there", path.display());
    let mut text = String::new();
    ensure!(file.read_to_string(&mut text).is_err(), "it says {text:?}");
    Ok(())
}
