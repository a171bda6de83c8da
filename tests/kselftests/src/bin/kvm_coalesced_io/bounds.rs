// SPDX-License-Identifier: GPL-2.0

//! Which writes belong to a zone.

use crate::machine::{operation, write, Machine, Observe, Seen};
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_ring::Space;
use siov_vmm::{Zone, MMIO};

/// All writes of the given lengths around a zone.
fn around(space: Space, zone: Zone, lens: &[usize]) -> Result {
    let mut machine = Machine::new()?;
    zone.register(&machine.vm)?;
    let (start, end) = (zone.addr, zone.addr + u64::from(zone.size));
    let mut writes = Vec::new();
    for &len in lens {
        for addr in start - 9..=end + 1 {
            let value = 0x0102_0304_0506_0700 + (addr & 0xff);
            let inside = addr >= start && addr + len as u64 <= end;
            writes.push((write(space, addr, len, value), inside));
        }
    }
    machine.check(&writes)
}

pub fn memory(_: &mut ()) -> Result {
    for size in [1, 3, 8, 21] {
        around(Space::Mmio, Zone::mmio(MMIO + 0x100, size), &[1, 2, 4, 8])?;
    }
    Ok(())
}

pub fn ports(_: &mut ()) -> Result {
    for size in [1, 4, 7] {
        around(Space::Pio, Zone::pio(0x1000, size), &[1, 2, 4])?;
    }
    // The ends of what ports there are.
    let mut machine = Machine::new()?;
    Zone::pio(0, 0x1_0000).register(&machine.vm)?;
    for addr in [0, 0x70, 0xffff] {
        ensure!(machine.coalesces(Space::Pio, addr)?, "port {addr:#x}");
    }
    Ok(())
}

/// KVM splits such a write; each part is one of its own. The part on the second page comes first if
/// only that one is coalesced, since user space gets the other when both have been offered to
/// zones.
pub fn pages(_: &mut ()) -> Result {
    const PAGE: u64 = MMIO + 0x1000;
    const VALUE: u64 = 0x8877_6655_4433_2211;
    for first in 1..8 {
        let below = write(Space::Mmio, PAGE - first as u64, first, VALUE);
        let above = write(Space::Mmio, PAGE, 8 - first, VALUE >> (8 * first));
        for (zone, expected) in [
            (
                Zone::mmio(PAGE - 8, 16),
                [Seen::Coalesced(below), Seen::Coalesced(above)],
            ),
            (
                Zone::mmio(PAGE, 8),
                [Seen::Coalesced(above), Seen::Exit(below)],
            ),
            (
                Zone::mmio(PAGE - 8, 8),
                [Seen::Coalesced(below), Seen::Exit(above)],
            ),
        ] {
            let mut machine = Machine::new()?;
            zone.register(&machine.vm)?;
            let seen = machine.run(&[operation(Space::Mmio, PAGE - first as u64, 8, VALUE)])?;
            ensure!(
                seen == expected,
                "{zone:x?}: {seen:x?}, expected {expected:x?}"
            );
        }
    }
    Ok(())
}

/// They can be registered, and do no harm.
pub fn wrapping(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    for (addr, size) in [
        (u64::MAX - 7, 8),
        (u64::MAX - 7, 16),
        (u64::MAX, u32::MAX),
        (u64::MAX - MMIO, u32::MAX),
        (MMIO, 0),
    ] {
        Zone::mmio(addr, size).register(&machine.vm)?;
    }
    for addr in [MMIO, MMIO + 8, 0x2000_0000] {
        ensure!(!machine.coalesces(Space::Mmio, addr)?, "{addr:#x}");
    }
    Ok(())
}

/// A write that several zones want is one write.
pub fn overlapping(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    for zone in [
        Zone::mmio(MMIO, 16),
        Zone::mmio(MMIO + 4, 16),
        Zone::mmio(MMIO + 4, 16),
        Zone::mmio(MMIO + 8, 2),
    ] {
        zone.register(&machine.vm)?;
    }
    let at = |offset, len, inside| (write(Space::Mmio, MMIO + offset, len, 7), inside);
    machine.check(&[
        at(0, 8, true),
        at(2, 4, true),
        at(8, 1, true),
        at(8, 8, true),
        at(12, 8, true),
        at(14, 4, true),
        at(16, 8, false),
        at(19, 1, true),
        at(20, 1, false),
    ])
}
