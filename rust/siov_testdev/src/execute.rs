// SPDX-License-Identifier: GPL-2.0

//! An ADI in software: its user page, and the work that descriptors ask for, on memory that the
//! caller accesses. For a driver that offers ADIs where the IOMMU cannot isolate one.
//!
//! Work is done at once, in the write that rings a doorbell.

use crate::user::{offset, Interrupt, Status, MAX_RING_ORDER};
use crate::{Completion, CompletionStatus, Descriptor, DescriptorFlags, FaultSource, Opcode};
use siov_types::Iova;

/// The memory that an ADI works on.
pub trait Memory {
    /// Reads; the error is a fault.
    ///
    /// # Errors
    ///
    /// When not all of it can be read.
    fn read(&mut self, at: Iova, data: &mut [u8]) -> Result<(), Fault>;

    /// Writes; the error is a fault.
    ///
    /// # Errors
    ///
    /// When not all of it can be written.
    fn write(&mut self, at: Iova, data: &[u8]) -> Result<(), Fault>;
}

/// A request that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

/// A fault, as it is reported to the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Where the request went.
    pub address: Iova,
    /// What it was for.
    pub source: FaultSource,
    /// Whether it wanted to write.
    pub write: bool,
}

/// Result of a doorbell write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Raise the ADI's vector.
    pub interrupt: bool,
    /// The last request that failed.
    pub failed: Option<Failed>,
    /// How many failed.
    pub failures: u32,
}

/// Bytes that are worked on at a time.
const PIECE: usize = 256;

/// An ADI's user page.
#[derive(Clone, Debug)]
pub struct SoftAdi {
    enabled: bool,
    halted: bool,
    ring_base: u64,
    ring_order: u32,
    tail: u32,
    head: u32,
    interrupt_enable: u32,
    interrupt_status: u32,
    completed: u64,
    completion: [u8; Completion::BYTES],
    descriptor: [u8; Descriptor::BYTES],
}

impl SoftAdi {
    /// After reset.
    pub const fn new() -> Self {
        Self {
            enabled: false,
            halted: false,
            ring_base: 0,
            ring_order: 0,
            tail: 0,
            head: 0,
            interrupt_enable: 0,
            interrupt_status: 0,
            completed: 0,
            completion: [0; Completion::BYTES],
            descriptor: [0; Descriptor::BYTES],
        }
    }

    /// Lets it take work, or not.
    pub fn set_enabled(&mut self, on: bool) {
        self.enabled = on;
    }

    /// Reads a register, as the device would.
    pub fn read(&self, at: u64, data: &mut [u8]) {
        for (at, byte) in (at..).zip(data) {
            let word = self.word(at & !7).to_le_bytes();
            *byte = word.get((at & 7) as usize).copied().unwrap_or(0);
        }
    }

    /// The eight bytes at an aligned offset.
    fn word(&self, at: u64) -> u64 {
        let pair = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
        let within = |bytes: &[u8], start: u64| {
            bytes
                .get((at - start) as usize..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |chunk| u64::from_le_bytes(*chunk))
        };
        match at {
            offset::STATUS => {
                let mut status = Status::empty();
                status.set(Status::READY, self.enabled);
                status.set(Status::HALTED, self.halted);
                pair(status.bits(), 0)
            }
            offset::RING_BASE => self.ring_base,
            offset::RING_ORDER => pair(self.ring_order, self.tail),
            offset::RING_HEAD => pair(self.head, 0),
            offset::INTERRUPT_ENABLE => pair(self.interrupt_enable, self.interrupt_status),
            offset::COMPLETED => self.completed,
            _ if at >= offset::INLINE_DESCRIPTOR => {
                within(&self.descriptor, offset::INLINE_DESCRIPTOR)
            }
            _ if at >= offset::COMPLETION => within(&self.completion, offset::COMPLETION),
            _ => 0,
        }
    }

    /// Writes a register of four or eight bytes, and does the work that it asks for on `memory`.
    pub fn write(&mut self, at: u64, data: &[u8], memory: &mut impl Memory) -> Outcome {
        let mut outcome = Outcome::default();
        for (at, word) in (at..).step_by(4).zip(data.chunks_exact(4)) {
            if let Some(word) = word.first_chunk() {
                self.write32(at, u32::from_le_bytes(*word), memory, &mut outcome);
            }
        }
        outcome
    }

    fn write32(&mut self, at: u64, value: u32, memory: &mut impl Memory, outcome: &mut Outcome) {
        const BASE_HIGH: u64 = offset::RING_BASE + 4;
        match at {
            offset::INLINE_DOORBELL if self.enabled => {
                let bytes = self.descriptor;
                self.run(&bytes, memory, outcome);
            }
            offset::RING_BASE => {
                self.ring_base = (self.ring_base & !0xffff_ffff) | u64::from(value & !0x3f);
                self.empty_ring();
            }
            BASE_HIGH => {
                self.ring_base = (self.ring_base & 0xffff_ffff) | (u64::from(value) << 32);
                self.empty_ring();
            }
            offset::RING_ORDER => {
                self.ring_order = value.min(MAX_RING_ORDER);
                self.empty_ring();
            }
            offset::RING_TAIL => {
                self.tail = value & self.mask();
                if self.enabled {
                    self.run_ring(memory, outcome);
                }
            }
            offset::INTERRUPT_ENABLE => {
                self.interrupt_enable = value & Interrupt::all().bits();
                outcome.interrupt |= self.interrupt_enable & self.interrupt_status != 0;
            }
            offset::INTERRUPT_STATUS => self.interrupt_status &= !value,
            _ => {
                let from = at
                    .checked_sub(offset::INLINE_DESCRIPTOR)
                    .map(|n| n as usize);
                let place = from.and_then(|from| self.descriptor.get_mut(from..));
                if let Some(place) = place.and_then(|rest| rest.first_chunk_mut()) {
                    *place = value.to_le_bytes();
                }
            }
        }
    }

    fn mask(&self) -> u32 {
        (1u32 << self.ring_order.min(MAX_RING_ORDER)) - 1
    }

    fn empty_ring(&mut self) {
        (self.head, self.tail, self.halted) = (0, 0, false);
    }

    fn event(&mut self, outcome: &mut Outcome) {
        self.interrupt_status |= Interrupt::COMPLETION.bits();
        outcome.interrupt |= self.interrupt_enable & Interrupt::COMPLETION.bits() != 0;
    }

    fn run_ring(&mut self, memory: &mut impl Memory, outcome: &mut Outcome) {
        // At most as many as the ring holds: the tail does not move meanwhile.
        while self.head != self.tail && !self.halted {
            let offset = u64::from(self.head) * Descriptor::BYTES as u64;
            // As the hardware counts addresses: modulo 2^64.
            let at = Iova::new(self.ring_base.wrapping_add(offset));
            let mut bytes = [0; Descriptor::BYTES];
            if memory.read(at, &mut bytes).is_err() {
                self.halted = true;
                outcome.fail(at, FaultSource::Descriptor, false);
                self.event(outcome);
                return;
            }
            // The head is below the size of the ring.
            self.head = (self.head + 1) & self.mask();
            self.run(&bytes, memory, outcome);
        }
    }

    /// Runs one descriptor to its end.
    fn run(
        &mut self,
        bytes: &[u8; Descriptor::BYTES],
        memory: &mut impl Memory,
        outcome: &mut Outcome,
    ) {
        let mut completion = Completion {
            status: CompletionStatus::Invalid,
            tag: Descriptor::tag_of(bytes),
            result: 0,
            fault_address: Iova::new(0),
            bytes: 0,
        };
        let mut notify = true;
        if let Ok(descriptor) = Descriptor::from_bytes(bytes) {
            notify = descriptor.flags.contains(DescriptorFlags::INTERRUPT);
            completion.status = CompletionStatus::Success;
            if let Err(failed) = work(&descriptor, &mut completion, memory) {
                completion.fail(failed, outcome);
            }
            if descriptor
                .flags
                .contains(DescriptorFlags::COMPLETION_RECORD)
            {
                let at = descriptor.completion;
                if memory.write(at, &completion.to_bytes()).is_err() {
                    let failed = Failed {
                        address: at,
                        source: FaultSource::Completion,
                        write: true,
                    };
                    completion.fail(failed, outcome);
                }
            }
        }
        self.completion = completion.to_bytes();
        // One at a time: 64 bits do not overflow.
        self.completed += 1;
        if notify {
            self.event(outcome);
        }
    }
}

impl Default for SoftAdi {
    fn default() -> Self {
        Self::new()
    }
}

impl Outcome {
    fn fail(&mut self, address: Iova, source: FaultSource, write: bool) {
        self.failed = Some(Failed {
            address,
            source,
            write,
        });
        self.failures = self.failures.saturating_add(1);
    }
}

impl Completion {
    fn fail(&mut self, failed: Failed, outcome: &mut Outcome) {
        self.status = CompletionStatus::Fault;
        self.result = 0;
        self.fault_address = failed.address;
        outcome.fail(failed.address, failed.source, failed.write);
    }
}

/// Does what `descriptor` says, piece by piece.
fn work(
    descriptor: &Descriptor,
    completion: &mut Completion,
    memory: &mut impl Memory,
) -> Result<(), Failed> {
    if descriptor.opcode == Opcode::Nop {
        return Ok(());
    }
    let mut crc = !0u32;
    let (mut a, mut b) = ([0; PIECE], [0; PIECE]);
    let mut done = 0u32;
    while done < descriptor.length {
        let len = ((descriptor.length - done) as usize).min(PIECE);
        let (Some(a), Some(b)) = (a.get_mut(..len), b.get_mut(..len)) else {
            return Ok(());
        };
        // The ranges that a descriptor uses do not pass the end of the address space. An address
        // that it does not use may be any.
        let place = |start: Iova| Iova::new(start.raw().wrapping_add(u64::from(done)));
        let (source, destination) = (place(descriptor.source), place(descriptor.destination));
        let failed = |address, source, write| {
            move |Fault| Failed {
                address,
                source,
                write,
            }
        };
        if descriptor.opcode.reads_source() {
            let failed = failed(source, FaultSource::Source, false);
            memory.read(source, a).map_err(failed)?;
        }
        match descriptor.opcode {
            Opcode::Nop => {}
            Opcode::Copy | Opcode::Fill => {
                if descriptor.opcode == Opcode::Fill {
                    let pattern = descriptor.pattern.to_le_bytes();
                    // A piece is a multiple of the pattern.
                    for (to, from) in a.iter_mut().zip(pattern.iter().cycle()) {
                        *to = *from;
                    }
                }
                let failed = failed(destination, FaultSource::Destination, true);
                memory.write(destination, a).map_err(failed)?;
            }
            Opcode::Crc32c => crc = crc32c(crc, a),
            Opcode::Compare => {
                let failed = failed(destination, FaultSource::Destination, false);
                memory.read(destination, b).map_err(failed)?;
                if let Some(differs) = a.iter().zip(b.iter()).position(|(a, b)| a != b) {
                    completion.status = CompletionStatus::Mismatch;
                    // Below the length of the descriptor.
                    completion.bytes = done + differs as u32;
                    completion.result = u64::from(completion.bytes);
                    return Ok(());
                }
            }
        }
        // At most the length of the descriptor.
        done += len as u32;
        completion.bytes = done;
    }
    if descriptor.opcode == Opcode::Crc32c {
        completion.result = u64::from(!crc);
    }
    Ok(())
}

/// RFC 3720, appendix B.4, bit by bit: short, and fast enough for what is emulated.
fn crc32c(crc: u32, data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    data.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// Memory from [`BASE`] on.
    struct Ram(Vec<u8>);
    const BASE: u64 = 0x1000;

    impl Ram {
        fn range(&self, at: Iova, len: usize) -> Result<core::ops::Range<usize>, Fault> {
            let start = at.raw().checked_sub(BASE).ok_or(Fault)? as usize;
            let end = start.checked_add(len).ok_or(Fault)?;
            (end <= self.0.len()).then_some(start..end).ok_or(Fault)
        }
    }

    impl Memory for Ram {
        fn read(&mut self, at: Iova, data: &mut [u8]) -> Result<(), Fault> {
            let range = self.range(at, data.len())?;
            data.copy_from_slice(&self.0[range]);
            Ok(())
        }

        fn write(&mut self, at: Iova, data: &[u8]) -> Result<(), Fault> {
            let range = self.range(at, data.len())?;
            self.0[range].copy_from_slice(data);
            Ok(())
        }
    }

    fn ready() -> (SoftAdi, Ram) {
        let mut adi = SoftAdi::new();
        adi.set_enabled(true);
        (adi, Ram((0..8192).map(|n| (n % 251) as u8).collect()))
    }

    fn submit(adi: &mut SoftAdi, ram: &mut Ram, descriptor: &Descriptor) -> (Completion, Outcome) {
        for (at, word) in (offset::INLINE_DESCRIPTOR..)
            .step_by(8)
            .zip(descriptor.to_bytes().chunks_exact(8))
        {
            adi.write(at, word, ram);
        }
        let outcome = adi.write(offset::INLINE_DOORBELL, &[1, 0, 0, 0], ram);
        let mut bytes = [0; Completion::BYTES];
        adi.read(offset::COMPLETION, &mut bytes);
        (Completion::from_bytes(&bytes).unwrap(), outcome)
    }

    fn copy(source: u64, destination: u64, length: u32) -> Descriptor {
        Descriptor {
            opcode: Opcode::Copy,
            source: Iova::new(BASE + source),
            destination: Iova::new(BASE + destination),
            length,
            ..Descriptor::NOP
        }
    }

    #[test]
    fn operations() {
        let (mut adi, mut ram) = ready();
        let (done, _) = submit(&mut adi, &mut ram, &copy(0, 4096, 1000));
        assert_eq!((done.status, done.bytes), (CompletionStatus::Success, 1000));
        assert_eq!(ram.0[4096..5096], ram.0[..1000]);

        let compare = Descriptor {
            opcode: Opcode::Compare,
            ..copy(0, 4096, 1000)
        };
        let (done, _) = submit(&mut adi, &mut ram, &compare);
        assert_eq!(done.status, CompletionStatus::Success);
        ram.0[4096 + 777] ^= 1;
        let (done, _) = submit(&mut adi, &mut ram, &compare);
        assert_eq!(
            (done.status, done.result),
            (CompletionStatus::Mismatch, 777)
        );

        let fill = Descriptor {
            opcode: Opcode::Fill,
            pattern: 0x0807_0605_0403_0201,
            ..copy(0, 100, 1003)
        };
        submit(&mut adi, &mut ram, &fill);
        let expected: Vec<u8> = (1..=8).cycle().take(1003).collect();
        assert_eq!(ram.0[100..1103], expected);
        assert_eq!(ram.0[1103], (1103 % 251) as u8);

        ram.0[..32].fill(0);
        let crc = Descriptor {
            opcode: Opcode::Crc32c,
            ..copy(0, 0, 32)
        };
        let (done, _) = submit(&mut adi, &mut ram, &crc);
        assert_eq!(done.result, 0x8a91_36aa);
        assert_eq!(adi.completed, 5);
    }

    #[test]
    fn faults() {
        let (mut adi, mut ram) = ready();
        let (done, outcome) = submit(&mut adi, &mut ram, &copy(0, 8000, 1000));
        assert_eq!(done.status, CompletionStatus::Fault);
        let failed = outcome.failed.unwrap();
        assert_eq!(
            (failed.source, failed.write),
            (FaultSource::Destination, true)
        );
        assert_eq!(done.fault_address, failed.address);
        assert_eq!(outcome.failures, 1);
        let (done, outcome) = submit(&mut adi, &mut ram, &copy(9000, 0, 1));
        assert_eq!(done.fault_address, Iova::new(BASE + 9000));
        assert_eq!(outcome.failed.unwrap().source, FaultSource::Source);
        // The record of what succeeded cannot be written.
        let recorded = Descriptor {
            flags: DescriptorFlags::COMPLETION_RECORD,
            completion: Iova::new(0),
            ..copy(0, 0, 1)
        };
        let (done, outcome) = submit(&mut adi, &mut ram, &recorded);
        assert_eq!(done.status, CompletionStatus::Fault);
        assert_eq!(outcome.failed.unwrap().source, FaultSource::Completion);
    }

    #[test]
    fn a_ring_runs_around_its_end_and_halts_on_a_fault() {
        let (mut adi, mut ram) = ready();
        let ring = 4096u64;
        for index in 0..4 {
            let recorded = Descriptor {
                flags: DescriptorFlags::COMPLETION_RECORD,
                completion: Iova::new(BASE + 32 * index),
                tag: index as u32,
                ..Descriptor::NOP
            };
            let at = (ring + index * 64) as usize;
            ram.0[at..at + 64].copy_from_slice(&recorded.to_bytes());
        }
        adi.write(offset::RING_ORDER, &2u32.to_le_bytes(), &mut ram);
        adi.write(offset::RING_BASE, &(BASE + ring).to_le_bytes(), &mut ram);
        adi.write(offset::RING_TAIL, &3u32.to_le_bytes(), &mut ram);
        assert_eq!((adi.completed, adi.head), (3, 3));
        adi.write(offset::RING_TAIL, &1u32.to_le_bytes(), &mut ram);
        assert_eq!((adi.completed, adi.head), (5, 1));
        for index in 0..4u32 {
            let at = 32 * index as usize;
            let record = Completion::from_bytes(ram.0[at..].first_chunk().unwrap());
            assert_eq!(record.unwrap().tag, index);
        }

        adi.write(offset::RING_BASE, &0x10u64.to_le_bytes(), &mut ram);
        let outcome = adi.write(offset::RING_TAIL, &1u32.to_le_bytes(), &mut ram);
        assert_eq!(outcome.failed.unwrap().source, FaultSource::Descriptor);
        let mut status = [0; 4];
        adi.read(offset::STATUS, &mut status);
        assert_eq!(
            u32::from_le_bytes(status),
            (Status::READY | Status::HALTED).bits()
        );
    }

    #[test]
    fn interrupts_come_when_asked_for_and_are_not_lost() {
        let (mut adi, mut ram) = ready();
        let asks = Descriptor {
            flags: DescriptorFlags::INTERRUPT,
            ..copy(0, 64, 1)
        };
        let (_, outcome) = submit(&mut adi, &mut ram, &asks);
        assert!(!outcome.interrupt);
        let outcome = adi.write(offset::INTERRUPT_ENABLE, &[1, 0, 0, 0], &mut ram);
        assert!(outcome.interrupt);
        adi.write(offset::INTERRUPT_STATUS, &[1, 0, 0, 0], &mut ram);
        let (_, outcome) = submit(&mut adi, &mut ram, &copy(0, 64, 1));
        assert!(!outcome.interrupt);
        let (_, outcome) = submit(&mut adi, &mut ram, &asks);
        assert!(outcome.interrupt);
    }

    #[test]
    fn doorbells_are_lost_while_it_is_disabled() {
        let (mut adi, mut ram) = ready();
        adi.set_enabled(false);
        let before = ram.0.clone();
        for at in [offset::INLINE_DOORBELL, offset::RING_TAIL] {
            adi.write(at, &[1, 0, 0, 0], &mut ram);
        }
        assert_eq!((adi.completed, ram.0), (0, before));
        let mut page = vec![0; 4096];
        adi.read(0, &mut page);
        assert_eq!(page[..4], [0; 4]);
    }
}
