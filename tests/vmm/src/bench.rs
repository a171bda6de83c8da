// SPDX-License-Identifier: GPL-2.0

//! Figures: what one access takes.

use crate::guest::{Kind, Operation};
use crate::{Event, SharedRing, Vcpu, Vm, Zone, MMIO};
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

struct Machine {
    vm: Vm,
    vcpu: Vcpu,
    ring: SharedRing,
}

impl Machine {
    fn new() -> Result<Self> {
        let vm = Vm::new()?;
        let vcpu = vm.vcpu(0)?;
        let ring = vcpu.ring()?;
        Ok(Self { vm, vcpu, ring })
    }

    /// The least of what one of `COUNT` accesses takes, in ticks, and the least of what one entry takes
    /// to be drained, in nanoseconds.
    fn cost(&mut self, kind: Kind, addr: u64, coalesced: bool) -> Result<(f64, f64)> {
        let (mut access, mut drain) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            self.vcpu
                .start(&[Operation::repeated(kind, addr, 0, COUNT)])?;
            let mut exits = 0;
            while self.vcpu.run()? != Event::Halt {
                exits += 1;
            }
            let expected = if coalesced { 0 } else { COUNT };
            ensure!(exits == expected, "{exits} exits, expected {expected}");
            access = access.min(self.vcpu.cost(0) as f64 / f64::from(COUNT));

            let waiting = self.ring.len();
            let start = Instant::now();
            while let Some(write) = self.ring.pop() {
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
        let (cost, _) = machine.cost(kind, addr, false)?;
        figure(cost, &format!("exit: {name}"));
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
        let (cost, entry) = machine.cost(kind, addr, true)?;
        figure(cost, &format!("coalesced: {name}"));
        drain = drain.min(entry);
    }
    figure(drain, "drain: one entry, in user space");
    Ok(())
}

/// Time per write of `vcpus` processors that write at the same time, each to its own port, while the
/// ring looks empty to all of them all the time.
fn writes_per_second(vm: &Vm, vcpus: &mut [Vcpu]) -> Result<f64> {
    const WRITES: u32 = 20_000;
    // A reader outside of the ring: it is never full, and nobody has to drain it.
    vcpus[0].ring()?.set_indices(Ring::ENTRIES, 0);
    let barrier = Barrier::new(vcpus.len());
    let ports = (0x80u16..).step_by(0x10);
    let start = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let runs: Vec<_> = vcpus
            .iter_mut()
            .zip(ports)
            .map(|(vcpu, port)| {
                let barrier = &barrier;
                scope.spawn(move || -> Result<()> {
                    Zone::pio(port, 4).register(vm)?;
                    vcpu.start(&[Operation::repeated(Kind::Out32, port.into(), 0, WRITES)])?;
                    barrier.wait();
                    ensure!(vcpu.run()? == Event::Halt, "a write was not coalesced");
                    Zone::pio(port, 4).unregister(vm)
                })
            })
            .collect();
        runs.into_iter()
            .try_for_each(|run| run.join().expect("no panic"))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(f64::from(WRITES) * vcpus.len() as f64 / seconds)
}

/// Prints how much more two processors get done than one. A ratio, because the time depends on the
/// machine.
///
/// # Errors
///
/// Those of running.
pub fn contend() -> Result<()> {
    let vm = Vm::new()?;
    let mut vcpus = vec![vm.vcpu(0)?, vm.vcpu(1)?];
    let mut ratios = Vec::new();
    for _ in 0..9 {
        let one = writes_per_second(&vm, &mut vcpus[..1])?;
        let two = writes_per_second(&vm, &mut vcpus)?;
        ratios.push(two / one);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "two processors get {:.2} times as much done as one (median of 9)",
        ratios[4]
    );
    Ok(())
}
