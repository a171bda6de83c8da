// SPDX-License-Identifier: GPL-2.0

//! Figures: what one access takes.

use crate::guest::{Kind, Operation};
use crate::{Event, Machine, Vcpu, Vm, Zone, MMIO};
use anyhow::{ensure, Result};
use siov_ring::Ring;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Rounds, of which the least counts.
const ROUNDS: usize = 24;

/// Accesses per round; fewer than the ring holds.
const COUNT: u32 = 128;

fn figure(value: f64, name: &str) {
    println!("# bench {value:.2} insn {name}");
}

/// The least of what one of `COUNT` accesses takes, in ticks, and the least of what one entry takes
/// to be drained, in nanoseconds.
fn cost(machine: &mut Machine, kind: Kind, addr: u64, coalesced: bool) -> Result<(f64, f64)> {
    let (mut access, mut drain) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        machine
            .vcpu
            .start(&[Operation::repeated(kind, addr, 0, COUNT)])?;
        let mut exits = 0;
        while machine.vcpu.run()? != Event::Halt {
            exits += 1;
        }
        let expected = if coalesced { 0 } else { COUNT };
        ensure!(exits == expected, "{exits} exits, expected {expected}");
        access = access.min(machine.vcpu.cost(0) as f64 / f64::from(COUNT));

        let waiting = machine.ring.len();
        let start = Instant::now();
        while let Some(write) = machine.ring.pop() {
            black_box(write);
        }
        let elapsed = start.elapsed().as_nanos() as f64;
        ensure!(waiting == COUNT - expected, "{waiting} writes in the ring");
        if waiting > 0 {
            drain = drain.min(elapsed / f64::from(waiting));
        }
    }
    Ok((access, drain))
}

/// Prints all figures. Under `-icount shift=0` a tick and a nanosecond are an instruction each.
///
/// # Errors
///
/// Those of running, and if accesses are not coalesced as they should be.
pub fn print() -> Result<()> {
    // Whatever boot has left to be done is done by now.
    thread::sleep(Duration::from_secs(3));
    let mut machine = Machine::new()?;
    for (kind, addr, name) in [
        (Kind::Out8, 0x70, "OUT to 0x70"),
        (Kind::Out32, 0xcf8, "OUT to 0xcf8"),
        (Kind::Store32, MMIO, "write of 4 bytes to memory"),
    ] {
        let (access, _) = cost(&mut machine, kind, addr, false)?;
        figure(access, &format!("exit: {name}"));
    }
    Zone::pio(0x70, 1).register(&machine.vm)?;
    Zone::pio(0xcf8, 4).register(&machine.vm)?;
    Zone::mmio(MMIO, 0x1000).register(&machine.vm)?;
    let mut drain = f64::INFINITY;
    for (kind, addr, name) in [
        (Kind::Out8, 0x70, "OUT to 0x70"),
        (Kind::Out32, 0xcf8, "OUT to 0xcf8"),
        (Kind::Store8, MMIO, "write of 1 byte to memory"),
        (Kind::Store32, MMIO, "write of 4 bytes to memory"),
        (Kind::Store64, MMIO, "write of 8 bytes to memory"),
    ] {
        let (access, entry) = cost(&mut machine, kind, addr, true)?;
        figure(access, &format!("coalesced: {name}"));
        drain = drain.min(entry);
    }
    figure(drain, "drain: one entry, in user space");
    Ok(())
}

/// Two processors that write at the same time, each to a port of its own; what they share is the
/// ring. In time, because under `-icount` there is one processor only.
#[derive(Debug)]
pub struct Contenders {
    vcpus: [Vcpu; 2],
    // Lives as long as its processors.
    _vm: Vm,
}

/// What a write takes.
#[derive(Clone, Copy, Debug)]
pub struct WriteTime {
    /// Nanoseconds per write of one processor that is alone.
    pub alone: f64,
    /// Nanoseconds per write of each of two processors that write at the same time.
    pub contended: f64,
}

impl Contenders {
    /// A machine on the `kvm.ko` that is loaded.
    ///
    /// # Errors
    ///
    /// Those of `/dev/kvm`.
    pub fn new() -> Result<Self> {
        let vm = Vm::new()?;
        let vcpus = [vm.vcpu(0)?, vm.vcpu(1)?];
        for port in CONTENDED {
            Zone::pio(port, 4).register(&vm)?;
        }
        // A reader outside of the ring: it is never full, and nobody has to drain it.
        vcpus[0].ring()?.set_indices(Ring::ENTRIES, 0);
        Ok(Self { vcpus, _vm: vm })
    }

    /// Measures once.
    ///
    /// # Errors
    ///
    /// Those of running, and if a write is not coalesced.
    pub fn measure(&mut self) -> Result<WriteTime> {
        Ok(WriteTime {
            alone: time_per_write(&mut self.vcpus[..1])?,
            contended: time_per_write(&mut self.vcpus)?,
        })
    }
}

const CONTENDED: [u16; 2] = [0x80, 0x90];

fn time_per_write(vcpus: &mut [Vcpu]) -> Result<f64> {
    const WRITES: u32 = 5_000;
    let barrier = Barrier::new(vcpus.len() + 1);
    let elapsed = thread::scope(|scope| -> Result<Duration> {
        let mut runs = Vec::new();
        for (vcpu, port) in vcpus.iter_mut().zip(CONTENDED) {
            vcpu.start(&[Operation::repeated(Kind::Out32, port.into(), 0, WRITES)])?;
            let barrier = &barrier;
            runs.push(scope.spawn(move || -> Result<()> {
                barrier.wait();
                ensure!(vcpu.run()? == Event::Halt, "a write was not coalesced");
                Ok(())
            }));
        }
        barrier.wait();
        let start = Instant::now();
        runs.into_iter()
            .try_for_each(|run| run.join().expect("no panic"))?;
        Ok(start.elapsed())
    })?;
    Ok(elapsed.as_nanos() as f64 / f64::from(WRITES))
}
