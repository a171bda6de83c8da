// SPDX-License-Identifier: GPL-2.0

//! Processors and zones at the same time. What is asserted holds whatever the schedule is.

use crate::machine::Machine;
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_ring::{Ring, Write};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::{Event, Vcpu, Vm, Zone};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;

const PORTS: [u16; 2] = [0x80, 0x90];

/// Writes of each processor while zones come and go, each of which may be an exit.
const WRITES: u32 = 4000;

/// Writes of each processor when all are coalesced. Without `ring_lock` one in some hundred is lost
/// while both processors really run; with as many as these that shows on a machine with other
/// things to do.
const MANY_WRITES: u32 = 60_000;

/// What a processor writes first; the other's values are others, so that half an entry of each
/// shows.
const FIRST: [u32; 2] = [0, 0x8000_0000];

/// Registers and unregisters until told to stop; returns how often.
fn toggle(vm: &Vm, stop: &AtomicBool) -> Result<usize> {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        for port in PORTS {
            Zone::pio(port, 4).register(vm)?;
        }
        for port in PORTS {
            Zone::pio(port, 4).unregister(vm)?;
        }
        rounds += 1;
    }
    Ok(rounds)
}

/// How many writes each port got. A write that is not the next one of its processor is an error:
/// one is lost, torn, or there twice.
#[derive(Default)]
struct Log([u32; 2]);

impl Log {
    fn add(&mut self, write: &Write) -> Result {
        let port = PORTS.iter().position(|port| u64::from(*port) == write.addr);
        let Some(port) = port.filter(|_| write.data.len() == 4) else {
            anyhow::bail!("nobody has written {write:x?}");
        };
        let bytes = write.data.bytes();
        let value = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let expected = FIRST[port] + self.0[port];
        ensure!(
            value == expected,
            "port {:#x}: {value:#x}, expected {expected:#x}",
            PORTS[port]
        );
        self.0[port] += 1;
        Ok(())
    }

    fn drain(&mut self, ring: &Ring) -> Result {
        while let Some(write) = ring.pop() {
            self.add(&write)?;
        }
        Ok(())
    }
}

/// Has a processor count up on its port. The log is locked while the ring is drained: it has one
/// consumer at a time.
fn write_all(vcpu: &mut Vcpu, writes: Operation, ring: &Ring, log: &Mutex<Log>) -> Result {
    vcpu.start(&[writes])?;
    loop {
        let event = vcpu.run()?;
        let mut log = log.lock().expect("no panic");
        log.drain(ring)?;
        match event {
            Event::Write(write) => log.add(&write)?,
            Event::Halt => return Ok(()),
            Event::Read(..) => anyhow::bail!("a read"),
        }
    }
}

fn race(processors: usize, writes: u32, zones_change: bool) -> Result {
    let Machine { vm, vcpu, ring } = Machine::new()?;
    let mut vcpus = vec![vcpu];
    if processors == 2 {
        vcpus.push(vm.vcpu(1)?);
    }
    if !zones_change {
        for port in PORTS {
            Zone::pio(port, 4).register(&vm)?;
        }
    }
    let (stop, log) = (AtomicBool::new(false), Mutex::new(Log::default()));
    let rounds = thread::scope(|scope| -> Result<usize> {
        let toggler = zones_change.then(|| scope.spawn(|| toggle(&vm, &stop)));
        let runs: Vec<_> = vcpus
            .iter_mut()
            .zip(PORTS.into_iter().zip(FIRST))
            .map(|(vcpu, (port, first))| {
                let (ring, log) = (&ring, &log);
                let all = Operation::repeated(Kind::Out32, port.into(), first.into(), writes);
                scope.spawn(move || write_all(vcpu, all, ring, log))
            })
            .collect();
        let results: Vec<_> = runs.into_iter().map(|run| run.join()).collect();
        stop.store(true, Ordering::Relaxed);
        let rounds = toggler.map_or(Ok(1), |toggler| toggler.join().expect("no panic"));
        for result in results {
            result.expect("no panic")?;
        }
        rounds
    })?;
    ensure!(rounds > 0, "no zone ever changed");
    let Log(counts) = log.into_inner()?;
    for (count, port) in counts.into_iter().zip(PORTS).take(processors) {
        ensure!(
            count == writes,
            "port {port:#x}: {count} writes of {writes}"
        );
    }
    Ok(())
}

pub fn zones(_: &mut ()) -> Result {
    race(1, WRITES, true)
}

pub fn processors(_: &mut ()) -> Result {
    race(2, MANY_WRITES, false)
}

pub fn both(_: &mut ()) -> Result {
    race(2, WRITES, true)
}
