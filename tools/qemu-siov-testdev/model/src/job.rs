// SPDX-License-Identifier: GPL-2.0

//! A descriptor under way: one piece after the other, none across a page boundary.

use siov_testdev_regs::{
    Completion, CompletionStatus, Descriptor, DescriptorFlags, FaultReason, FaultSource, Opcode,
};
use siov_types::{Iova, PAGE_SIZE};

use crate::crc::Crc32c;

/// A request of a job, to be sent by whoever knows the PASID.
pub(crate) trait Memory {
    fn read(&mut self, what: FaultSource, from: Iova, into: &mut [u8]) -> Result<(), FaultReason>;
    fn write(&mut self, what: FaultSource, to: Iova, data: &[u8]) -> Result<(), FaultReason>;
}

/// How the work on a job has ended, before the completion is told.
#[derive(Clone, Copy, Debug)]
struct End {
    status: CompletionStatus,
    result: u64,
    fault_address: Iova,
}

impl End {
    fn with_result(status: CompletionStatus, result: u64) -> Self {
        Self {
            status,
            result,
            fault_address: Iova::new(0),
        }
    }
}

/// A descriptor under way.
#[derive(Debug)]
pub(crate) struct Job {
    descriptor: Descriptor,
    inline: bool,
    done: u32,
    crc: Crc32c,
    end: Option<End>,
}

const PIECE: usize = PAGE_SIZE as usize;

impl Job {
    /// From what came out of the ring or the user page.
    pub(crate) fn new(bytes: &[u8; Descriptor::BYTES], inline: bool) -> Self {
        let (descriptor, invalid) = match Descriptor::from_bytes(bytes) {
            Ok(descriptor) => (descriptor, false),
            Err(_) => {
                let tag = Descriptor::tag_of(bytes);
                (
                    Descriptor {
                        tag,
                        ..Descriptor::NOP
                    },
                    true,
                )
            }
        };
        let mut job = Self {
            descriptor,
            inline,
            done: 0,
            crc: Crc32c::new(),
            end: invalid.then(|| End::with_result(CompletionStatus::Invalid, 0)),
        };
        if !invalid {
            job.end_if_done();
        }
        job
    }

    /// Whether it came from the user page.
    pub(crate) fn is_inline(&self) -> bool {
        self.inline
    }

    /// Whether only the completion is left.
    pub(crate) fn is_worked_off(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the end of this job is an event. Of one without valid flags it is, because nothing
    /// else would tell.
    pub(crate) fn wants_interrupt(&self, completion: &Completion) -> bool {
        self.descriptor.flags.contains(DescriptorFlags::INTERRUPT)
            || completion.status == CompletionStatus::Invalid
    }

    /// Works on the next piece.
    pub(crate) fn work(&mut self, memory: &mut impl Memory) {
        let length = self.piece();
        let mut first = [0; PIECE];
        let first = &mut first[..length];
        let worked = self.work_on(first, memory);
        match worked {
            Ok(None) => {
                self.done += length as u32;
                self.end_if_done();
            }
            Ok(Some(difference)) => {
                self.done += difference;
                let end = End::with_result(CompletionStatus::Mismatch, self.done.into());
                self.end = Some(end);
            }
            Err(fault_address) => {
                self.end = Some(End {
                    status: CompletionStatus::Fault,
                    result: 0,
                    fault_address,
                });
            }
        }
    }

    /// `Ok(Some(n))`: a comparison found byte n to differ. `Err`: the address of a request that
    /// failed.
    fn work_on(&mut self, data: &mut [u8], memory: &mut impl Memory) -> Result<Option<u32>, Iova> {
        let from = self.at(self.descriptor.source);
        let to = self.at(self.descriptor.destination);
        if self.descriptor.opcode.reads_source() {
            memory
                .read(FaultSource::Source, from, data)
                .map_err(|_| from)?;
        }
        match self.descriptor.opcode {
            Opcode::Nop | Opcode::Copy => {}
            Opcode::Fill => {
                let pattern = self.descriptor.pattern.to_le_bytes();
                let start = self.done as usize % pattern.len();
                for (byte, value) in data.iter_mut().zip(pattern.iter().cycle().skip(start)) {
                    *byte = *value;
                }
            }
            Opcode::Crc32c => self.crc.update(data),
            Opcode::Compare => {
                let mut second = [0; PIECE];
                let second = &mut second[..data.len()];
                memory
                    .read(FaultSource::Destination, to, second)
                    .map_err(|_| to)?;
                let difference = data.iter().zip(&*second).position(|(a, b)| a != b);
                if let Some(at) = difference {
                    return Ok(Some(at as u32));
                }
            }
        }
        if self.descriptor.opcode.writes_destination() {
            memory
                .write(FaultSource::Destination, to, data)
                .map_err(|_| to)?;
        }
        Ok(None)
    }

    /// Writes the completion record, if there is to be one, and says what it holds.
    pub(crate) fn complete(&self, memory: &mut impl Memory) -> Completion {
        let end = self
            .end
            .unwrap_or(End::with_result(CompletionStatus::Success, 0));
        let completion = Completion {
            status: end.status,
            tag: self.descriptor.tag,
            result: end.result,
            fault_address: end.fault_address,
            bytes: self.done,
        };
        if !self
            .descriptor
            .flags
            .contains(DescriptorFlags::COMPLETION_RECORD)
        {
            return completion;
        }
        match self.write_record(&completion, memory) {
            Ok(()) => completion,
            Err(fault_address) => Completion {
                status: CompletionStatus::Fault,
                fault_address,
                ..completion
            },
        }
    }

    fn write_record(&self, completion: &Completion, memory: &mut impl Memory) -> Result<(), Iova> {
        let bytes = completion.to_bytes();
        let (head, rest) = bytes.split_at(Completion::HEAD_BYTES);
        let start = self.descriptor.completion;
        // The record is aligned to its size, so the sum does not wrap.
        let behind_head = Iova::new(start.raw() + Completion::HEAD_BYTES as u64);
        for (at, part) in [(behind_head, rest), (start, head)] {
            memory
                .write(FaultSource::Completion, at, part)
                .map_err(|_| at)?;
        }
        Ok(())
    }

    /// What the user page shows of a job that privileged software ended.
    pub(crate) fn aborted(&self) -> Completion {
        Completion {
            status: CompletionStatus::Aborted,
            tag: self.descriptor.tag,
            result: 0,
            fault_address: Iova::new(0),
            bytes: self.done,
        }
    }

    /// Bytes of the next piece.
    fn piece(&self) -> usize {
        let to_page_end = |start: Iova| (PAGE_SIZE - self.at(start).raw() % PAGE_SIZE) as u32;
        let opcode = self.descriptor.opcode;
        let mut length = (self.descriptor.length - self.done).min(PAGE_SIZE as u32);
        if opcode.reads_source() {
            length = length.min(to_page_end(self.descriptor.source));
        }
        if opcode.uses_destination() {
            length = length.min(to_page_end(self.descriptor.destination));
        }
        length as usize
    }

    /// The address to go on at. The descriptor's ranges do not wrap.
    fn at(&self, start: Iova) -> Iova {
        Iova::new(start.raw().wrapping_add(self.done.into()))
    }

    fn end_if_done(&mut self) {
        let is_nop = self.descriptor.opcode == Opcode::Nop;
        if is_nop || self.done == self.descriptor.length {
            let result = match self.descriptor.opcode {
                Opcode::Crc32c => self.crc.value().into(),
                _ => 0,
            };
            self.end = Some(End::with_result(CompletionStatus::Success, result));
        }
    }
}
