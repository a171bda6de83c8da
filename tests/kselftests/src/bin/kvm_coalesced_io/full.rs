// SPDX-License-Identifier: GPL-2.0

//! A full ring, and one whose indices user space has spoilt.

use crate::machine::{write, Machine, Observe};
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_ring::{Ring, Space};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::Zone;
use std::sync::atomic::Ordering;

const PORT: u64 = 0x80;

fn machine() -> Result<Machine> {
    let machine = Machine::new()?;
    Zone::pio(PORT as u16, 4).register(&machine.vm)?;
    Ok(machine)
}

fn outs(from: u64, count: u32) -> [Operation; 1] {
    [Operation::repeated(Kind::Out32, PORT, from, count)]
}

/// Wherever the ring starts, it holds one write less than it has entries, and a write that finds it
/// full goes to user space and leaves it as it is.
pub fn full(_: &mut ()) -> Result {
    for start in [0, 1, 84, 168, 169] {
        let mut machine = machine()?;
        machine.ring.set_indices(start, start);
        let exits = machine.run_undrained(&outs(0, Ring::CAPACITY))?;
        ensure!(exits.is_empty(), "from {start}: exits {exits:x?}");
        let full = (start, (start + Ring::CAPACITY) % Ring::ENTRIES);
        ensure!(machine.ring.indices() == full, "from {start}");

        let exits = machine.run_undrained(&outs(1000, 2))?;
        let expected = [1000, 1001].map(|n| write(Space::Pio, PORT, 4, n));
        ensure!(exits == expected, "from {start}: exits {exits:x?}");
        ensure!(machine.ring.indices() == full, "from {start}: stays full");

        ensure!(machine.ring.pop() == Some(write(Space::Pio, PORT, 4, 0)));
        let exits = machine.run_undrained(&outs(169, 2))?;
        let expected = [write(Space::Pio, PORT, 4, 170)];
        ensure!(exits == expected, "from {start}: one has room: {exits:x?}");
        for n in 1..=169 {
            let entry = machine.ring.pop();
            ensure!(
                entry == Some(write(Space::Pio, PORT, 4, n)),
                "from {start}: entry {n} is {entry:x?}"
            );
        }
        ensure!(machine.ring.is_empty(), "from {start}: more than that");
    }
    Ok(())
}

/// KVM does not write behind the last entry, nor repair what it did not break.
pub fn bad_last(_: &mut ()) -> Result {
    const MARK: u64 = 0x5a5a_a5a5_1234_4321;
    for last in [170, 171, 0xaa00, 0x8000_0000, u32::MAX] {
        for first in [0, 1, 169, last, last.wrapping_add(1)] {
            let mut machine = machine()?;
            machine.ring.spare().store(MARK, Ordering::SeqCst);
            machine.ring.set_indices(first, last);
            let exits = machine.run_undrained(&outs(7, 2))?;
            let expected = [7, 8].map(|n| write(Space::Pio, PORT, 4, n));
            ensure!(exits == expected, "{first}, {last:#x}: exits {exits:x?}");
            ensure!(
                machine.ring.indices() == (first, last),
                "{first}, {last:#x}: became {:x?}",
                machine.ring.indices()
            );
            let mark = machine.ring.spare().load(Ordering::SeqCst);
            ensure!(mark == MARK, "{first}, {last:#x}: the end of the page");
        }
    }
    Ok(())
}

/// Then it never looks full.
pub fn bad_first(_: &mut ()) -> Result {
    for first in [170, 171, 0x8000_0000, u32::MAX] {
        let mut machine = machine()?;
        machine.ring.set_indices(first, 5);
        let exits = machine.run_undrained(&outs(0, 400))?;
        ensure!(exits.is_empty(), "{first:#x}: {} exits", exits.len());
        let expected = (first, (5 + 400) % Ring::ENTRIES);
        ensure!(
            machine.ring.indices() == expected,
            "{first:#x}: {:x?}",
            machine.ring.indices()
        );
        ensure!(
            machine.ring.spare().load(Ordering::SeqCst) == 0,
            "{first:#x}"
        );
    }
    Ok(())
}
