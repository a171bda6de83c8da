// SPDX-License-Identifier: GPL-2.0

//! A machine with one processor, and what becomes of the writes of its guest.

use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_ring::{Data, Space, Write};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::Event;

pub use siov_vmm::Machine;

/// A write, and how user space got it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// From the ring.
    Coalesced(Write),
    /// By an exit.
    Exit(Write),
}

impl Seen {
    pub fn write(self) -> Write {
        match self {
            Self::Coalesced(write) | Self::Exit(write) => write,
        }
    }
}

/// A write of the lowest `len` bytes of `value`.
pub fn write(space: Space, addr: u64, len: usize, value: u64) -> Write {
    let data = Data::new(&value.to_le_bytes()[..len]).expect("at most 8");
    Write { space, addr, data }
}

/// The operation that makes a guest do it.
pub fn operation(space: Space, addr: u64, len: usize, value: u64) -> Operation {
    let kind = match space {
        Space::Mmio => Kind::store(len),
        Space::Pio => Kind::out(len),
    };
    Operation::new(kind, addr, value)
}

fn drain(machine: &Machine, seen: &mut Vec<Seen>) {
    seen.extend(std::iter::from_fn(|| machine.ring.pop()).map(Seen::Coalesced));
}

/// What becomes of the writes of its guest.
pub trait Observe {
    /// Runs the operations and tells of all writes in the order of the guest: the ring is drained
    /// at each exit, and at the end.
    fn run(&mut self, operations: &[Operation]) -> Result<Vec<Seen>>;

    /// Runs the operations, leaves the ring alone, and tells of the exits.
    fn run_undrained(&mut self, operations: &[Operation]) -> Result<Vec<Write>>;

    /// Has the guest do each write, and checks that exactly those are coalesced that are said to
    /// be.
    fn check(&mut self, writes: &[(Write, bool)]) -> Result;

    /// Whether a write of one byte is coalesced.
    fn coalesces(&mut self, space: Space, addr: u64) -> Result<bool>;
}

impl Observe for Machine {
    fn run(&mut self, operations: &[Operation]) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        self.vcpu.start(operations)?;
        loop {
            match self.vcpu.run()? {
                Event::Write(write) => {
                    drain(self, &mut seen);
                    seen.push(Seen::Exit(write));
                }
                Event::Read(_, _, bytes) => bytes.fill(0),
                Event::Halt => {
                    drain(self, &mut seen);
                    return Ok(seen);
                }
            }
        }
    }

    fn run_undrained(&mut self, operations: &[Operation]) -> Result<Vec<Write>> {
        let mut exits = Vec::new();
        self.vcpu.start(operations)?;
        loop {
            match self.vcpu.run()? {
                Event::Write(write) => exits.push(write),
                Event::Read(_, _, bytes) => bytes.fill(0),
                Event::Halt => return Ok(exits),
            }
        }
    }

    fn check(&mut self, writes: &[(Write, bool)]) -> Result {
        let operations: Vec<_> = writes
            .iter()
            .map(|(w, _)| {
                operation(
                    w.space,
                    w.addr,
                    w.data.len(),
                    u64::from_le_bytes(w.data.bytes()),
                )
            })
            .collect();
        let expected: Vec<_> = writes
            .iter()
            .map(|(w, coalesced)| {
                if *coalesced {
                    Seen::Coalesced(*w)
                } else {
                    Seen::Exit(*w)
                }
            })
            .collect();
        let seen = self.run(&operations)?;
        for (number, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
            ensure!(
                seen == expected,
                "write {number}: {seen:x?}, expected {expected:x?}"
            );
        }
        ensure!(
            seen.len() == expected.len(),
            "{} writes, expected {}",
            seen.len(),
            expected.len()
        );
        Ok(())
    }

    fn coalesces(&mut self, space: Space, addr: u64) -> Result<bool> {
        let seen = self.run(&[operation(space, addr, 1, 0xa5)])?;
        let expected = write(space, addr, 1, 0xa5);
        ensure!(
            seen.len() == 1 && seen[0].write() == expected,
            "{seen:x?}, expected {expected:x?}"
        );
        Ok(matches!(seen[0], Seen::Coalesced(_)))
    }
}
