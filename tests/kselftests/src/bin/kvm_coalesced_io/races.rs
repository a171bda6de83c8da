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
const WRITES: u32 = 4000;

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

/// What each port got.
#[derive(Default)]
struct Log([Vec<u32>; 2]);

impl Log {
    fn add(&mut self, write: &Write) -> Result {
        let port = PORTS.iter().position(|port| u64::from(*port) == write.addr);
        let Some(port) = port.filter(|_| write.data.len() == 4) else {
            anyhow::bail!("nobody has written {write:x?}");
        };
        let bytes = write.data.bytes();
        self.0[port].push(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        Ok(())
    }

    fn drain(&mut self, ring: &Ring) -> Result {
        while let Some(write) = ring.pop() {
            self.add(&write)?;
        }
        Ok(())
    }

    fn check(&self, processors: usize) -> Result {
        for (values, port) in self.0.iter().zip(PORTS).take(processors) {
            ensure!(
                values.len() == WRITES as usize,
                "port {port:#x}: {} writes",
                values.len()
            );
            for (expected, value) in (0..).zip(values) {
                ensure!(
                    *value == expected,
                    "port {port:#x}: {value}, expected {expected}"
                );
            }
        }
        Ok(())
    }
}

/// Has a processor write 0, 1, 2 ... to its port. The log is locked while the ring is drained: it has
/// one consumer at a time.
fn write_all(vcpu: &mut Vcpu, port: u16, ring: &Ring, log: &Mutex<Log>) -> Result {
    let writes = Operation::repeated(Kind::Out32, port.into(), 0, WRITES);
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

fn race(processors: usize, zones_change: bool) -> Result {
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
            .zip(PORTS)
            .map(|(vcpu, port)| {
                let (ring, log) = (&ring, &log);
                scope.spawn(move || write_all(vcpu, port, ring, log))
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
    log.into_inner()?.check(processors)
}

pub fn zones(_: &mut ()) -> Result {
    race(1, true)
}

pub fn processors(_: &mut ()) -> Result {
    race(2, false)
}

pub fn both(_: &mut ()) -> Result {
    race(2, true)
}
