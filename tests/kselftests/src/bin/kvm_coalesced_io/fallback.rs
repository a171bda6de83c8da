// SPDX-License-Identifier: GPL-2.0

//! A VMM on a kernel that lacks a capability: it registers no zone of that kind, and all else stays
//! right.

use crate::machine::{operation, write, Machine, Observe, Seen};
use anyhow::ensure;
use kvm_ioctls::Cap;
use siov_kselftests::ktap::Result;
use siov_ring::{Space, Write};
use siov_vmm::table::Table;
use siov_vmm::{Board, Fallback, Vm, Zone, MMIO};

/// A guest that reads the clock and the host bridge gets what it should, which [`Table::measure`]
/// checks, and each write of an index is an exit.
fn board_exits(hidden: Cap) -> Result {
    let mut vm = Vm::new()?;
    vm.hide(hidden);
    let mut vcpu = vm.vcpu(0)?;
    let mut board = Board::new();
    board.coalesce(&vm, &vcpu)?;
    Table::new().measure(&mut vcpu, &mut board, false)?;
    let exits = board.exits;
    ensure!(board.drained == 0, "{} came by the ring", board.drained);
    ensure!(exits.clock_index == exits.clock_data, "{exits:?}");
    ensure!(exits.bridge_address == exits.bridge_data, "{exits:?}");
    ensure!(exits.clock_index > 0 && exits.bridge_address > 0);
    Ok(())
}

/// What became of asking for a zone in each space, and how a write to each arrives then.
fn check(hidden: Cap, asked: [Fallback; 2], seen: fn([Write; 2]) -> [Seen; 2]) -> Result {
    let mut machine = Machine::new()?;
    machine.vm.hide(hidden);
    let found = [
        Zone::mmio(MMIO, 8).register_if_possible(&machine.vm)?,
        Zone::pio(0x80, 4).register_if_possible(&machine.vm)?,
    ];
    ensure!(found == asked, "{found:?}, expected {asked:?}");
    let expected = seen([
        write(Space::Mmio, MMIO, 4, 7),
        write(Space::Pio, 0x80, 4, 9),
    ]);
    let found = machine.run(&[
        operation(Space::Mmio, MMIO, 4, 7),
        operation(Space::Pio, 0x80, 4, 9),
    ])?;
    ensure!(found == expected, "{found:x?}, expected {expected:x?}");
    board_exits(hidden)
}

/// Before `KVM_CAP_COALESCED_PIO`: memory is coalesced all the same.
pub fn no_ports(_: &mut ()) -> Result {
    check(
        Cap::CoalescedPio,
        [Fallback::Coalesced, Fallback::Exits],
        |[memory, port]| [Seen::Coalesced(memory), Seen::Exit(port)],
    )
}

/// Without `KVM_CAP_COALESCED_MMIO` there is no ring, so ports have none either.
pub fn nothing(_: &mut ()) -> Result {
    check(
        Cap::CoalescedMmio,
        [Fallback::Exits, Fallback::Exits],
        |writes| writes.map(Seen::Exit),
    )
}
