// SPDX-License-Identifier: GPL-2.0

//! Which zones go, and which stay.

use crate::machine::{Machine, Observe};
use crate::many::MOST;
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_kselftests::sysfs::expect_errno;
use siov_ring::Space;
use siov_vmm::{Zone, MMIO};

/// Checks for each offset into the memory whether it is coalesced.
fn expect(machine: &mut Machine, when: &str, offsets: &[(u64, bool)]) -> Result {
    for &(offset, expected) in offsets {
        let coalesced = machine.coalesces(Space::Mmio, MMIO + offset)?;
        ensure!(coalesced == expected, "{when}: {offset:#x}: {coalesced}");
    }
    Ok(())
}

pub fn containing(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    let zones = [
        Zone::mmio(MMIO, 0x10),
        Zone::mmio(MMIO, 8),
        Zone::mmio(MMIO + 8, 0x10),
        Zone::mmio(MMIO + 0x100, 4),
    ];
    for zone in zones {
        zone.register(&machine.vm)?;
    }
    // Contained in none of them: nothing goes.
    Zone::mmio(MMIO, 0x20).unregister(&machine.vm)?;
    Zone::mmio(MMIO + 0xf0, 0x20).unregister(&machine.vm)?;
    Zone::mmio(MMIO + 0x104, 1).unregister(&machine.vm)?;
    Zone::mmio(MMIO - 1, 2).unregister(&machine.vm)?;
    let all = [
        (0, true),
        (8, true),
        (0x17, true),
        (0x18, false),
        (0x103, true),
    ];
    expect(&mut machine, "at first", &all)?;
    // In the first only.
    Zone::mmio(MMIO + 6, 4).unregister(&machine.vm)?;
    let without_first = [(0, true), (7, true), (8, true), (0x17, true), (0x103, true)];
    expect(&mut machine, "without the first", &without_first)?;
    // One byte is enough.
    Zone::mmio(MMIO + 7, 1).unregister(&machine.vm)?;
    let without_second = [(0, false), (7, false), (8, true), (0x103, true)];
    expect(&mut machine, "without the second", &without_second)?;
    Zone::mmio(MMIO + 8, 0x10).unregister(&machine.vm)?;
    expect(
        &mut machine,
        "without the third",
        &[(8, false), (0x103, true)],
    )?;
    // That nothing matches is no error.
    Zone::mmio(MMIO + 8, 0x10).unregister(&machine.vm)?;
    Zone::mmio(MMIO + 0x102, 2).unregister(&machine.vm)?;
    expect(&mut machine, "none", &[(0x100, false), (0x103, false)])
}

/// KVM takes the size for a signed number; an empty range is contained where its address is, the
/// end included; one that crosses the end of the address space is contained nowhere.
pub fn sizes(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    let zone = Zone::mmio(MMIO, 0x1000);
    zone.register(&machine.vm)?;
    for (offset, size) in [
        (0, 0x8000_0000),
        (0, u32::MAX),
        (0, 0x1001),
        (1, 0x1000),
        (0x1001, 0),
        (u64::MAX - MMIO + 1, 0),
    ] {
        Zone::mmio(MMIO.wrapping_add(offset), size).unregister(&machine.vm)?;
        ensure!(
            machine.coalesces(Space::Mmio, MMIO)?,
            "{size:#x} at {offset:#x}"
        );
    }
    Zone::mmio(u64::MAX - 3, 8).unregister(&machine.vm)?;
    ensure!(machine.coalesces(Space::Mmio, MMIO)?, "wrapping");
    for (offset, size) in [(0, 0), (0x1000, 0), (0xfff, 1), (0, 0x1000)] {
        Zone::mmio(MMIO + offset, size).unregister(&machine.vm)?;
        ensure!(
            !machine.coalesces(Space::Mmio, MMIO)?,
            "{size:#x} at {offset:#x}"
        );
        zone.register(&machine.vm)?;
    }
    Ok(())
}

/// A zone of 2 GiB or more is on the bus, which does not ask it, since there, too, the size is
/// signed; so whether it goes shows in the room on a full bus.
pub fn long(_: &mut ()) -> Result {
    let machine = Machine::new()?;
    let zone = Zone::mmio(MMIO, u32::MAX);
    zone.register(&machine.vm)?;
    for _ in 1..MOST {
        Zone::mmio(0, 1).register(&machine.vm)?;
    }
    for size in [0x8000_0000, 0x8000_0001, u32::MAX] {
        Zone::mmio(MMIO, size).unregister(&machine.vm)?;
        let one_more = Zone::mmio(0, 1).register(&machine.vm);
        expect_errno(one_more, nix::Error::ENOSPC, "a zone on a full bus")?;
    }
    Zone::mmio(MMIO, 0x7fff_ffff).unregister(&machine.vm)?;
    Zone::mmio(0, 1).register(&machine.vm)
}

pub fn spaces(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    let (memory, ports) = (Zone::mmio(MMIO, 8), Zone::pio(0x80, 8));
    // The same numbers in the other space.
    let twin = Zone { pio: 0, ..ports };
    memory.register(&machine.vm)?;
    ports.register(&machine.vm)?;
    twin.register(&machine.vm)?;
    Zone { pio: 1, ..memory }.unregister(&machine.vm)?;
    ensure!(machine.coalesces(Space::Mmio, MMIO)?, "memory, as ports");
    twin.unregister(&machine.vm)?;
    ensure!(machine.coalesces(Space::Pio, 0x80)?, "ports, as memory");
    ports.unregister(&machine.vm)?;
    ensure!(!machine.coalesces(Space::Pio, 0x80)?, "ports");
    ensure!(
        machine.coalesces(Space::Mmio, MMIO)?,
        "memory, after the ports"
    );
    memory.unregister(&machine.vm)?;
    ensure!(!machine.coalesces(Space::Mmio, MMIO)?, "memory");
    Ok(())
}

pub fn again(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    let zone = Zone::pio(0x80, 1);
    for round in 0..20 {
        zone.register(&machine.vm)?;
        ensure!(machine.coalesces(Space::Pio, 0x80)?, "round {round}");
        zone.unregister(&machine.vm)?;
        ensure!(!machine.coalesces(Space::Pio, 0x80)?, "round {round}");
    }
    // Twice on, once off: one call takes both.
    zone.register(&machine.vm)?;
    zone.register(&machine.vm)?;
    zone.unregister(&machine.vm)?;
    ensure!(!machine.coalesces(Space::Pio, 0x80)?, "both");
    Ok(())
}
