// SPDX-License-Identifier: GPL-2.0

//! Many zones, several machines.

use crate::machine::{operation, write, Machine, Observe, Seen};
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_kselftests::sysfs::expect_errno;
use siov_ring::Space;
use siov_vmm::{Zone, MMIO};

/// Devices that a bus takes: `NR_IOBUS_DEVS` of the kernel's `include/linux/kvm_host.h`.
pub const MOST: u64 = 1000;

/// Registers zones 0 to 999, of which the next one is one too many.
fn fill(machine: &Machine, zone: impl Fn(u64) -> Zone) -> Result {
    for n in 0..MOST {
        zone(n).register(&machine.vm)?;
    }
    let more = zone(MOST).register(&machine.vm);
    expect_errno(more, nix::Error::ENOSPC, "zone 1001")
}

pub fn zones(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    let memory = |n| Zone::mmio(MMIO + n * 16, 8);
    fill(&machine, memory)?;
    // The other bus has room of its own.
    fill(&machine, |n| Zone::pio(n as u16 * 2, 1))?;
    let writes: Vec<_> = (0..MOST)
        .step_by(3)
        .flat_map(|n| {
            [
                (write(Space::Mmio, MMIO + n * 16, 8, n), true),
                (write(Space::Pio, n * 2, 1, n), true),
                (write(Space::Pio, n * 2 + 1, 1, n), false),
            ]
        })
        .collect();
    machine.check(&writes)?;
    memory(500).unregister(&machine.vm)?;
    ensure!(
        !machine.coalesces(Space::Mmio, MMIO + 500 * 16)?,
        "zone 500 went"
    );
    ensure!(
        machine.coalesces(Space::Mmio, MMIO + 501 * 16)?,
        "zone 501 stays"
    );
    memory(MOST).register(&machine.vm)?;
    ensure!(
        machine.coalesces(Space::Mmio, MMIO + MOST * 16)?,
        "in its place"
    );
    Ok(())
}

pub fn layers(_: &mut ()) -> Result {
    let mut machine = Machine::new()?;
    fill(&machine, |n| Zone::mmio(MMIO - n * 8, (n as u32 + 1) * 8))?;
    let seen = machine.run(&[operation(Space::Mmio, MMIO, 8, 3)])?;
    let expected = [Seen::Coalesced(write(Space::Mmio, MMIO, 8, 3))];
    ensure!(seen == expected, "{seen:x?}");
    Zone::mmio(MMIO, 8).unregister(&machine.vm)?;
    ensure!(!machine.coalesces(Space::Mmio, MMIO)?, "all of them went");
    ensure!(
        !machine.coalesces(Space::Mmio, MMIO - 800)?,
        "all of them went"
    );
    Ok(())
}

pub fn machines(_: &mut ()) -> Result {
    let mut first = Machine::new()?;
    let mut second = Machine::new()?;
    Zone::pio(0x80, 1).register(&first.vm)?;
    Zone::pio(0x90, 1).register(&second.vm)?;
    ensure!(!first.coalesces(Space::Pio, 0x90)?, "a zone of the other");
    ensure!(!second.coalesces(Space::Pio, 0x80)?, "a zone of the other");
    let exits = first.run_undrained(&[operation(Space::Pio, 0x80, 1, 1)])?;
    ensure!(exits.is_empty() && first.ring.len() == 1, "the first");
    ensure!(second.ring.is_empty(), "a ring of its own");
    let exits = second.run_undrained(&[operation(Space::Pio, 0x90, 1, 2)])?;
    ensure!(exits.is_empty() && second.ring.len() == 1, "the second");
    ensure!(first.ring.pop() == Some(write(Space::Pio, 0x80, 1, 1)));
    // Both at the same time.
    std::thread::scope(|scope| {
        let runs = [(&mut first, 0x80), (&mut second, 0x90)].map(|(machine, port)| {
            scope.spawn(move || {
                let _ = machine.ring.pop();
                let writes: Vec<_> = (0..1000)
                    .map(|n| (write(Space::Pio, port, 1, n & 0xff), true))
                    .collect();
                for _ in 0..5 {
                    // Never full: what comes by an exit is not expected.
                    for part in writes.chunks(100) {
                        machine.check(part)?;
                    }
                }
                Ok(())
            })
        });
        runs.into_iter()
            .try_for_each(|run| run.join().expect("no panic"))
    })
}

/// Zones, waiting writes and all.
pub fn endings(_: &mut ()) -> Result {
    for _ in 0..20 {
        let mut machine = Machine::new()?;
        for n in 0..10 {
            Zone::pio(0x80, 1 + n).register(&machine.vm)?;
            Zone::mmio(MMIO, 1 + n).register(&machine.vm)?;
        }
        let exits = machine.run_undrained(&[operation(Space::Pio, 0x80, 1, 1)])?;
        ensure!(exits.is_empty() && machine.ring.len() == 1);
    }
    // One that never had a zone.
    drop(Machine::new()?);
    Ok(())
}
