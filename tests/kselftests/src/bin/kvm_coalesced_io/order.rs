// SPDX-License-Identifier: GPL-2.0

//! What user space sees, and in which order.

use crate::machine::{operation, write, Machine, Observe, Seen};
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_ring::{Ring, Space};
use siov_vmm::board::{Clock, HostBridge};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::{Board, Vm, Zone, MMIO};

const PORT: u64 = 0x80;

fn zones(machine: &Machine) -> Result {
    Zone::mmio(MMIO, 8).register(&machine.vm)?;
    Zone::pio(PORT as u16, 4).register(&machine.vm)
}

pub fn mixed(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    zones(&machine)?;
    // More than the ring holds, with writes in between that no zone takes.
    let writes: Vec<_> = (0..500u64)
        .map(|n| match n % 7 {
            0 | 3 => (write(Space::Mmio, MMIO, 8, n), true),
            1 => (write(Space::Pio, PORT, 4, n), true),
            4 => (write(Space::Pio, PORT + 3, 1, n), true),
            5 if n % 70 == 5 => (write(Space::Pio, PORT + 4, 1, n), false),
            5 if n % 70 == 40 => (write(Space::Mmio, MMIO + 8, 4, n), false),
            _ => (write(Space::Mmio, MMIO + 4, 4, n), true),
        })
        .collect();
    machine.check(&writes)
}

/// A read in a zone goes to user space, which finds the write before it in the ring.
pub fn reads(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    zones(&machine)?;
    machine.vcpu.start(&[
        operation(Space::Mmio, MMIO, 4, 1),
        Operation::new(Kind::Load32, MMIO, 0),
        operation(Space::Pio, PORT, 1, 2),
        Operation::new(Kind::In8, PORT, 0),
    ])?;
    for (space, addr, written) in [(Space::Mmio, MMIO, 1), (Space::Pio, PORT, 2)] {
        match machine.vcpu.run()? {
            siov_vmm::Event::Read(s, a, bytes) => {
                ensure!((s, a) == (space, addr), "a read at {a:#x}");
                bytes.fill(0x3c);
            }
            other => anyhow::bail!("{other:x?}, expected a read"),
        }
        let before = machine.ring.pop().map(|w| w.data.bytes()[0]);
        ensure!(before == Some(written), "{before:?} waits before the read");
        ensure!(machine.ring.is_empty(), "the read is in the ring");
    }
    ensure!(machine.vcpu.run()? == siov_vmm::Event::Halt, "no halt");
    ensure!(machine.vcpu.value(1) == 0x3c3c_3c3c, "what was read");
    ensure!(machine.vcpu.value(3) & 0xff == 0x3c, "what was read");
    Ok(())
}

/// Each byte of `rep outsb` is a write.
pub fn strings(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    zones(&machine)?;
    let string = Operation::repeated(Kind::OutString, PORT, 0x8070_6050_4030_2010, 8);
    let seen = machine.run(&[string])?;
    let expected: Vec<_> = (1..=8)
        .map(|n| Seen::Coalesced(write(Space::Pio, PORT, 1, n * 0x10)))
        .collect();
    ensure!(seen == expected, "{seen:x?}");
    Ok(())
}

pub fn values(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    zones(&machine)?;
    let mut writes = Vec::new();
    for value in [0, u64::MAX, 0x8000_0000_0000_0001, 0x0123_4567_89ab_cdef] {
        for len in [1, 2, 4, 8] {
            writes.push((write(Space::Mmio, MMIO, len, value), true));
            if len < 8 {
                writes.push((write(Space::Pio, PORT, len, value), true));
            }
        }
    }
    machine.check(&writes)
}

pub fn one_ring(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    let other = machine.vm.vcpu(1)?.ring()?;
    zones(&machine)?;
    let exits = machine.run_undrained(&[operation(Space::Pio, PORT, 1, 0x42)])?;
    ensure!(exits.is_empty(), "{exits:x?}");
    ensure!(other.indices() == (0, 1), "{:?}", other.indices());
    ensure!(
        other.pop() == Some(write(Space::Pio, PORT, 1, 0x42)),
        "the entry"
    );
    ensure!(machine.ring.is_empty(), "taken there, not taken here");
    Ok(())
}

/// What a guest reads from the data ports, for all registers; the number of wrong values.
fn board(drains_first: bool, coalesce: bool) -> Result<usize> {
    let vm = Vm::new()?;
    let mut vcpu = vm.vcpu(0)?;
    let mut board = Board::new();
    board.drains_first = drains_first;
    if coalesce {
        board.coalesce(&vm, &vcpu)?;
    }
    let mut operations = Vec::new();
    for n in 0..64u8 {
        operations.extend([
            Operation::new(Kind::Out8, Clock::INDEX.into(), n.into()),
            Operation::new(Kind::In8, Clock::DATA.into(), 0),
            Operation::new(
                Kind::Out32,
                HostBridge::ADDRESS.into(),
                HostBridge::select(n).into(),
            ),
            Operation::new(Kind::In32, HostBridge::DATA.into(), 0),
        ]);
    }
    vcpu.start(&operations)?;
    board.run(&mut vcpu)?;
    let wrong = |n: &u8| {
        let index = usize::from(*n) * 4;
        vcpu.value(index + 1) as u8 != Clock::register(*n)
            || vcpu.value(index + 3) as u32 != HostBridge::dword(*n)
    };
    Ok((0..64).filter(wrong).count())
}

/// The same from real mode, as firmware does it.
pub fn real_mode(_: &mut ()) -> Result {
    const ROUNDS: u16 = 100;
    for coalesce in [false, true] {
        let vm = Vm::new()?;
        let mut vcpu = vm.real_mode_vcpu(ROUNDS)?;
        let mut board = Board::new();
        if coalesce {
            board.coalesce(&vm, &vcpu)?;
        }
        board.run(&mut vcpu)?;
        let results = vm.real_mode_results(ROUNDS);
        for (left, result) in (1..=ROUNDS as u8).rev().zip(results) {
            let expected = (Clock::register(left), HostBridge::dword(left & 3));
            ensure!(
                result == expected,
                "{left} to go: {result:x?}, expected {expected:x?}"
            );
        }
        let (by_ring, by_exit) = if coalesce { (200, 0) } else { (0, 100) };
        ensure!(
            board.drained == by_ring,
            "{} writes by the ring",
            board.drained
        );
        ensure!(board.exits.clock_index == by_exit, "{:?}", board.exits);
        ensure!(board.exits.bridge_address == by_exit, "{:?}", board.exits);
        ensure!(board.exits.clock_data == 100, "{:?}", board.exits);
    }
    Ok(())
}

/// The rule of `siov_vmm`, and that it matters.
pub fn flush(_: &mut ()) -> Result {
    for (drains_first, coalesce, right) in [
        (true, false, true),
        (true, true, true),
        (false, false, true),
        (false, true, false),
    ] {
        let wrong = board(drains_first, coalesce)?;
        ensure!(
            (wrong == 0) == right,
            "drained first: {drains_first}, coalesced: {coalesce}, wrong values: {wrong}"
        );
    }
    ensure!(Ring::CAPACITY == 169, "{}", Ring::CAPACITY);
    Ok(())
}
