// SPDX-License-Identifier: GPL-2.0

//! An assignable device interface: its privileged page, and the order in which its work is done.

use siov_testdev_regs::privileged::{offset, Command, Control, PasidControl, Status, MAX_DELAY};
use siov_testdev_regs::{Descriptor, FaultReason, FaultSource};
use siov_types::{Iova, Pasid};

use crate::fault::{Fault, FaultRecord};
use crate::host::Host;
use crate::job::{Job, Memory};
use crate::queue::{Next, Queue};
use crate::register::{half, set_half, wide};
use crate::requester::Requester;

/// What a step or a register access wants raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Events {
    /// The ADI's vector.
    pub(crate) completion: bool,
    /// The error vector.
    pub(crate) fault: bool,
}

/// An ADI.
#[derive(Debug)]
pub(crate) struct Adi {
    pasid_bits: u8,
    pasid: PasidControl,
    control: Control,
    delay: u64,
    faults: FaultRecord,
    draining: bool,
    queue: Queue,
    job: Option<Job>,
    /// When the next step is due; counts while there is one.
    due: u64,
}

impl Adi {
    pub(crate) fn new(pasid_bits: u8) -> Self {
        Self {
            pasid_bits,
            pasid: PasidControl::default(),
            control: Control::empty(),
            delay: 0,
            faults: FaultRecord::default(),
            draining: false,
            queue: Queue::new(),
            job: None,
            due: 0,
        }
    }

    /// Whether a descriptor is under way.
    pub(crate) fn is_active(&self) -> bool {
        self.job.is_some()
    }

    /// Whether a fault is recorded.
    pub(crate) fn has_fault(&self) -> bool {
        self.faults.status().is_valid()
    }

    /// When the next step is due; `None` if there is none.
    pub(crate) fn due(&self) -> Option<u64> {
        let starts = self.is_enabled() && self.queue.next().is_some();
        (self.job.is_some() || starts).then_some(self.due)
    }

    fn is_enabled(&self) -> bool {
        self.control.contains(Control::ENABLE)
    }

    /// Makes one step: fetches a descriptor, works on a piece, or completes.
    pub(crate) fn step<H: Host + ?Sized>(&mut self, requester: &mut Requester<'_, H>) -> Events {
        let mut events = Events::default();
        let mut memory = AdiMemory {
            pasid: self.pasid.pasid(),
            pasid_bits: self.pasid_bits,
            untagged: self.control.contains(Control::ALLOW_UNTAGGED),
            faults: &mut self.faults,
            faulted: false,
            requester,
        };
        match &mut self.job {
            None => {
                if let Some(next) = self.queue.next() {
                    match fetch(next, &mut memory) {
                        Ok(job) => {
                            self.queue.take(next);
                            self.job = Some(job);
                        }
                        Err(_) => events.completion = self.queue.halt(),
                    }
                }
            }
            Some(job) if !job.is_worked_off() => job.work(&mut memory),
            Some(job) => {
                let completion = job.complete(&mut memory);
                let event = job.wants_interrupt(&completion);
                events.completion = self.queue.finish(&completion, job.is_inline(), event);
                self.job = None;
                self.draining = false;
            }
        }
        events.fault = memory.faulted;
        let now = memory.requester.host.now();
        self.due = now.saturating_add(self.delay);
        events
    }

    /// Reads a register of the privileged page.
    pub(crate) fn read_privileged(&self, at: u64) -> u32 {
        match at {
            offset::PASID => self.pasid.raw(),
            offset::CONTROL => self.control.bits(),
            offset::STATUS => self.status().bits(),
            offset::FAULT_STATUS => self.faults.status().raw(),
            offset::FAULT_PASID => self.faults.pasid(),
            offset::FAULT_COUNT => self.faults.count(),
            _ => match wide(at) {
                offset::DELAY => half(at, self.delay),
                offset::FAULT_ADDRESS => half(at, self.faults.address()),
                offset::COMPLETED => half(at, self.queue.completed()),
                _ => 0,
            },
        }
    }

    fn status(&self) -> Status {
        let mut status = Status::empty();
        status.set(Status::ENABLED, self.is_enabled());
        status.set(Status::ACTIVE, self.is_active());
        status.set(Status::DRAINING, self.draining);
        status
    }

    /// Writes a register of the privileged page, at time `now`.
    pub(crate) fn write_privileged(&mut self, at: u64, value: u32, now: u64) {
        let had_work = self.due().is_some();
        match at {
            // A descriptor under way must not change its address space.
            offset::PASID if !self.is_enabled() && !self.is_active() => {
                self.pasid = PasidControl::from_raw(value);
            }
            offset::CONTROL => {
                self.control = Control::from_bits_truncate(value);
                if self.draining {
                    self.control.remove(Control::ENABLE);
                }
            }
            offset::COMMAND => {
                if let Some(command) = Command::from_raw(value) {
                    self.command(command);
                }
            }
            offset::FAULT_STATUS => self.faults.write_status(value),
            _ if wide(at) == offset::DELAY => {
                set_half(at, &mut self.delay, value);
                self.delay = self.delay.min(MAX_DELAY);
            }
            _ => {}
        }
        self.set_due(had_work, now);
    }

    fn command(&mut self, command: Command) {
        self.control.remove(Control::ENABLE);
        match command {
            Command::Drain => self.draining = self.is_active(),
            Command::Abort => {
                self.draining = false;
                self.queue.empty();
                if let Some(job) = self.job.take() {
                    self.queue.finish(&job.aborted(), job.is_inline(), false);
                }
            }
            Command::Reset => *self = Self::new(self.pasid_bits),
        }
    }

    /// Reads a register of the user page.
    pub(crate) fn read_user(&self, at: u64) -> u32 {
        self.queue.read(at, self.is_enabled(), self.is_active())
    }

    /// Writes a register of the user page, at time `now`.
    pub(crate) fn write_user(&mut self, at: u64, value: u32, now: u64) -> Events {
        let had_work = self.due().is_some();
        let completion = self.queue.write(at, value, self.is_enabled());
        self.set_due(had_work, now);
        Events {
            completion,
            fault: false,
        }
    }

    /// The first step of new work comes a delay after it was submitted.
    fn set_due(&mut self, had_work: bool, now: u64) {
        if !had_work {
            self.due = now.saturating_add(self.delay);
        }
    }
}

fn fetch(next: Next, memory: &mut impl Memory) -> Result<Job, FaultReason> {
    match next {
        Next::Inline(bytes) => Ok(Job::new(&bytes, true)),
        Next::Ring(at) => {
            let mut bytes = [0; Descriptor::BYTES];
            memory.read(FaultSource::Descriptor, at, &mut bytes)?;
            Ok(Job::new(&bytes, false))
        }
    }
}

/// Memory as one ADI may reach it.
struct AdiMemory<'a, 'b, H: ?Sized> {
    pasid: Option<Pasid>,
    pasid_bits: u8,
    untagged: bool,
    faults: &'a mut FaultRecord,
    faulted: bool,
    requester: &'a mut Requester<'b, H>,
}

impl<H: Host + ?Sized> AdiMemory<'_, '_, H> {
    fn check(&self) -> Result<(), FaultReason> {
        match self.pasid {
            None if !self.untagged => Err(FaultReason::UntaggedForbidden),
            Some(pasid) if pasid.raw() >> self.pasid_bits != 0 => Err(FaultReason::PasidTooWide),
            _ => Ok(()),
        }
    }

    fn record(
        &mut self,
        result: Result<(), FaultReason>,
        source: FaultSource,
        write: bool,
        address: Iova,
    ) -> Result<(), FaultReason> {
        result.inspect_err(|&reason| {
            self.faulted = true;
            self.faults.record(Fault {
                reason,
                source,
                write,
                pasid: self.pasid,
                address,
            });
        })
    }
}

impl<H: Host + ?Sized> Memory for AdiMemory<'_, '_, H> {
    fn read(&mut self, what: FaultSource, from: Iova, into: &mut [u8]) -> Result<(), FaultReason> {
        let result = self
            .check()
            .and_then(|()| self.requester.read(self.pasid, from, into));
        self.record(result, what, false, from)
    }

    fn write(&mut self, what: FaultSource, to: Iova, data: &[u8]) -> Result<(), FaultReason> {
        let result = self
            .check()
            .and_then(|()| self.requester.write(self.pasid, to, data));
        self.record(result, what, true, to)
    }
}
