// SPDX-License-Identifier: GPL-2.0

//! The table with which coalesced PIO was proposed: a guest's accesses to the clock and to the PCI
//! host bridge, how many there are and what they take, without and with coalescing.

use crate::board::{Clock, Exits, HostBridge};
use crate::guest::{Kind, Operation};
use crate::{Board, Vcpu};
use anyhow::{ensure, Result};
use std::fmt;

/// A kind of access.
#[derive(Debug)]
pub struct Access {
    /// Port and direction, as perf kvm says it.
    pub name: &'static str,
    /// Accesses of one run.
    pub samples: usize,
    exits: fn(&Exits) -> u64,
}

/// As many as in the proposal, with the reads that belong to them.
pub const ACCESSES: [Access; 4] = [
    Access {
        name: "0x70:POUT",
        samples: 86,
        exits: |exits| exits.clock_index,
    },
    Access {
        name: "0x71:PIN",
        samples: 86,
        exits: |exits| exits.clock_data,
    },
    Access {
        name: "0xcf8:POUT",
        samples: 1119,
        exits: |exits| exits.bridge_address,
    },
    Access {
        name: "0xcfc:PIN",
        samples: 1119,
        exits: |exits| exits.bridge_data,
    },
];

struct Row {
    access: &'static Access,
    coalesced: bool,
    /// Nanoseconds of each access.
    costs: Vec<f64>,
    exits: u64,
    /// Of all accesses of this run.
    total: (usize, f64),
}

/// Rows of one or several runs.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a guest and adds a row for each kind of access.
    ///
    /// # Errors
    ///
    /// Those of running, and if the guest reads something wrong.
    pub fn measure(&mut self, vcpu: &mut Vcpu, board: &mut Board, coalesced: bool) -> Result<()> {
        // Once for what is slow at first only.
        run(vcpu, board, 8, 8)?;
        board.exits = Exits::default();
        let operations = run(vcpu, board, ACCESSES[0].samples, ACCESSES[2].samples)?;

        let ns = 1e6 / f64::from(vcpu.tsc_khz()?);
        let costs: Vec<_> = (0..operations)
            .map(|index| vcpu.cost(index) as f64 * ns)
            .collect();
        let total = (operations, costs.iter().sum());
        let mut next = 0;
        for pair in ACCESSES.chunks(2) {
            for (offset, access) in pair.iter().enumerate() {
                let own = costs[next + offset..].iter().step_by(2);
                self.0.push(Row {
                    access,
                    coalesced,
                    costs: own.take(access.samples).copied().collect(),
                    exits: (access.exits)(&board.exits),
                    total,
                });
            }
            next += 2 * pair[0].samples;
        }
        Ok(())
    }

    /// Exits to user space for an access, without and with coalescing.
    pub fn exits(&self, name: &str) -> Option<(u64, u64)> {
        let of = |coalesced| {
            self.0
                .iter()
                .find(|row| row.access.name == name && row.coalesced == coalesced)
                .map(|row| row.exits)
        };
        Some((of(false)?, of(true)?))
    }
}

/// Has the guest read so many registers of the clock and doublewords of the bridge's configuration
/// space, and checks what it got. Returns the number of operations.
fn run(vcpu: &mut Vcpu, board: &mut Board, clock: usize, bridge: usize) -> Result<usize> {
    let mut operations = Vec::new();
    for n in 0..clock {
        operations.push(Operation::new(
            Kind::Out8,
            Clock::INDEX.into(),
            n as u64 & 0x7f,
        ));
        operations.push(Operation::new(Kind::In8, Clock::DATA.into(), 0));
    }
    for n in 0..bridge {
        let select = HostBridge::select(n as u8);
        operations.push(Operation::new(
            Kind::Out32,
            HostBridge::ADDRESS.into(),
            select.into(),
        ));
        operations.push(Operation::new(Kind::In32, HostBridge::DATA.into(), 0));
    }
    vcpu.start(&operations)?;
    board.run(vcpu)?;
    for n in 0..clock {
        let value = vcpu.value(2 * n + 1) as u8;
        ensure!(
            value == Clock::register(n as u8 & 0x7f),
            "register {n}: {value:#x}"
        );
    }
    for n in 0..bridge {
        let value = vcpu.value(2 * (clock + n) + 1) as u32;
        ensure!(
            value == HostBridge::dword(n as u8),
            "doubleword {n}: {value:#x}"
        );
    }
    Ok(operations.len())
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:11} {:9} {:>7} {:>8} {:>7} {:>9} {:>9} {:>9} {:>6}",
            "access", "coalesced", "samples", "samples%", "time%", "min", "max", "average", "exits"
        )?;
        for access in &ACCESSES {
            for row in self.0.iter().filter(|row| row.access.name == access.name) {
                let sum: f64 = row.costs.iter().sum();
                let least = row.costs.iter().copied().fold(f64::INFINITY, f64::min);
                let most = row.costs.iter().copied().fold(0.0, f64::max);
                writeln!(
                    f,
                    "{:11} {:9} {:7} {:7.2}% {:6.2}% {:7.2}us {:7.2}us {:7.2}us {:6}",
                    access.name,
                    if row.coalesced { "yes" } else { "no" },
                    row.costs.len(),
                    100.0 * row.costs.len() as f64 / row.total.0 as f64,
                    100.0 * sum / row.total.1,
                    least / 1e3,
                    most / 1e3,
                    sum / row.costs.len() as f64 / 1e3,
                    row.exits,
                )?;
            }
        }
        Ok(())
    }
}
