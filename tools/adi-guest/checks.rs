// SPDX-License-Identifier: GPL-2.0

//! What is checked, in this order.

use crate::adi::Adi;
use crate::arch::cpu::relax;
use crate::arch::machine::Machine;
use crate::irq;
use crate::memory::{get, page, put, PAGE, PAGES};
use crate::pci::{Bar, Function, Msix};
use siov_testdev_regs::user::{offset, Interrupt, Status};
use siov_testdev_regs::{Completion, CompletionStatus, Descriptor, DescriptorFlags, Opcode};
use siov_types::Iova;

/// What a check says when it fails.
pub type Check = Result<(), &'static str>;

/// The device, as the checks find it.
pub struct Context<'a> {
    /// The machine.
    pub machine: Machine,
    /// The function that the hypervisor shows.
    pub function: &'a Function,
    /// Its ADI.
    pub adi: Adi,
    /// Its interrupts.
    pub msix: Msix<'a>,
}

/// Vectors (`Documentation/mdev.rst`).
const FAULT: u64 = 0;
const COMPLETION: u64 = 1;

/// An address where this machine has no memory.
const STRAY: u64 = 8 << 30;

fn ensure(condition: bool, why: &'static str) -> Check {
    condition.then_some(()).ok_or(why)
}

/// Test data that `seed` tells apart.
fn pattern(seed: u8) -> impl Iterator<Item = u8> {
    (0..PAGE).map(move |n| (n as u8) ^ ((n >> 8) as u8).wrapping_mul(29) ^ seed)
}

fn holds(index: usize, mut expected: impl Iterator<Item = u8>) -> bool {
    get(index)
        .take(PAGE)
        .all(|byte| expected.next() == Some(byte))
}

fn descriptor(opcode: Opcode, source: u64, destination: u64, length: usize) -> Descriptor {
    Descriptor {
        opcode,
        source: Iova::new(source),
        destination: Iova::new(destination),
        length: length as u32,
        ..Descriptor::NOP
    }
}

fn copy(from: usize, to: usize) -> Descriptor {
    descriptor(Opcode::Copy, page(from), page(to), PAGE)
}

impl Context<'_> {
    fn succeed(&self, descriptor: &Descriptor) -> Result<Completion, &'static str> {
        let end = self.adi.execute(descriptor).ok_or("no completion")?;
        ensure(end.status == CompletionStatus::Success, "not a success")?;
        Ok(end)
    }

    /// Copies a page, and compares.
    fn copies(&self, seed: u8) -> Check {
        put(0, pattern(seed));
        put(1, pattern(!seed));
        self.succeed(&copy(0, 1))?;
        ensure(holds(1, pattern(seed)), "the copy differs")
    }
}

/// Its name, and what it does.
pub type Case = (&'static str, fn(&Context<'_>) -> Check);

/// All of them.
pub const CASES: &[Case] = &[
    ("configuration space", configuration),
    ("no work without bus mastering", bus_master),
    ("copy", |c| c.copies(0x11)),
    ("fill", fill),
    ("checksum", checksum),
    ("compare", compare),
    ("a ring, and completion records in memory", ring),
    ("a completion interrupt", interrupt),
    ("an interrupt that is masked waits", masked),
    ("a fault, and its interrupt", fault),
    ("work after a fault", |c| c.copies(0x22)),
];

fn configuration(c: &Context<'_>) -> Check {
    ensure(c.function.read(0x08) == 0x00ff_0001, "class and revision")?;
    let bar = |index| c.function.bar(index).map(|bar: Bar| bar.base());
    let (user, msix) = (bar(0).ok_or("BAR 0")?, bar(1).ok_or("BAR 1")?);
    ensure(
        user % PAGE as u64 == 0 && msix % PAGE as u64 == 0 && user != msix,
        "places of the BARs",
    )?;
    ensure(bar(2).is_none(), "a third BAR")?;
    ensure(c.msix.vectors == 2, "number of vectors")
}

fn bus_master(c: &Context<'_>) -> Check {
    c.function.set_master(false);
    ensure(!c.adi.status().contains(Status::READY), "ready without")?;
    put(1, pattern(0));
    put(2, pattern(1));
    c.adi.submit(&copy(1, 2));
    c.function.set_master(true);
    ensure(c.adi.status().contains(Status::READY), "not ready with")?;
    // The device says that the doorbell is lost, and this one's is not.
    c.succeed(&copy(3, 4))?;
    ensure(c.adi.completed() == 1, "the lost doorbell was heard")?;
    ensure(holds(2, pattern(1)), "memory has changed")
}

fn fill(c: &Context<'_>) -> Check {
    let fill = Descriptor {
        pattern: 0x0807_0605_0403_0201,
        ..descriptor(Opcode::Fill, 0, page(2), PAGE)
    };
    c.succeed(&fill)?;
    ensure(holds(2, (1..=8).cycle()), "not what was asked for")
}

/// 32 bytes of zeroes, as in RFC 3720, B.4.
fn checksum(c: &Context<'_>) -> Check {
    put(3, [0; 32].into_iter());
    let end = c.succeed(&descriptor(Opcode::Crc32c, page(3), 0, 32))?;
    ensure(end.result == 0x8a91_36aa, "wrong")
}

fn compare(c: &Context<'_>) -> Check {
    put(0, pattern(3));
    put(1, pattern(3));
    let compare = descriptor(Opcode::Compare, page(0), page(1), PAGE);
    c.succeed(&compare)?;
    put(1, pattern(3).take(100).chain([0xff ^ 3]));
    let end = c.adi.execute(&compare).ok_or("no completion")?;
    ensure(end.status == CompletionStatus::Mismatch, "no difference")?;
    ensure(end.result == 100, "the wrong place")
}

fn ring(c: &Context<'_>) -> Check {
    const ENTRIES: usize = 3;
    let (ring, records) = (PAGES - 2, PAGES - 1);
    put(records, [0; PAGE].into_iter());
    put(0, pattern(4));
    let descriptors: [Descriptor; ENTRIES] = core::array::from_fn(|index| Descriptor {
        flags: DescriptorFlags::COMPLETION_RECORD,
        completion: Iova::new(page(records) + (index * Completion::BYTES) as u64),
        tag: 7 + index as u32,
        ..copy(index, index + 1)
    });
    put(ring, descriptors.iter().flat_map(|d| d.to_bytes()));
    let base = page(ring);
    c.adi.write(offset::RING_ORDER, 2);
    c.adi.write(offset::RING_BASE, base as u32);
    c.adi.write(offset::RING_BASE + 4, (base >> 32) as u32);
    c.adi.write(offset::RING_TAIL, ENTRIES as u32);
    // Each record is written as a whole with its status.
    for index in 0..ENTRIES {
        let record = loop {
            let mut bytes = [0; Completion::BYTES];
            let found = get(records).skip(index * Completion::BYTES);
            bytes
                .iter_mut()
                .zip(found)
                .for_each(|(to, from)| *to = from);
            if let Some(record) = Completion::from_bytes(&bytes) {
                break record;
            }
            relax();
        };
        ensure(record.status == CompletionStatus::Success, "not a success")?;
        ensure(record.tag == 7 + index as u32, "another tag")?;
    }
    ensure(holds(ENTRIES, pattern(4)), "the last copy differs")
}

fn interrupting() -> Descriptor {
    Descriptor {
        flags: DescriptorFlags::INTERRUPT,
        ..copy(0, 1)
    }
}

/// Runs a descriptor that asks for an interrupt.
fn raise(c: &Context<'_>) -> Check {
    c.adi
        .write(offset::INTERRUPT_STATUS, Interrupt::COMPLETION.bits());
    c.succeed(&interrupting()).map(drop)
}

fn wait_for(count: u64) {
    while irq::received() < count {
        relax();
    }
}

fn interrupt(c: &Context<'_>) -> Check {
    c.msix.set(COMPLETION, c.machine.message());
    c.msix.enable(true);
    c.msix.mask(COMPLETION, false);
    c.succeed(&copy(0, 1))?;
    ensure(irq::received() == 0, "one that nobody asked for")?;
    c.adi
        .write(offset::INTERRUPT_ENABLE, Interrupt::COMPLETION.bits());
    for count in 1..=10 {
        raise(c)?;
        wait_for(count);
    }
    ensure(irq::received() == 10, "more than ten")
}

fn masked(c: &Context<'_>) -> Check {
    let before = irq::received();
    c.msix.mask(COMPLETION, true);
    raise(c)?;
    while !c.msix.is_pending(COMPLETION) {
        relax();
    }
    ensure(irq::received() == before, "it came")?;
    c.msix.mask(COMPLETION, false);
    wait_for(before + 1);
    ensure(!c.msix.is_pending(COMPLETION), "still pending")?;
    ensure(irq::counts().stray == 0, "stray interrupts")
}

fn fault(c: &Context<'_>) -> Check {
    let before = irq::received();
    c.msix.set(FAULT, c.machine.message());
    c.msix.mask(FAULT, false);
    let end = c.adi.execute(&stray());
    let end = end.ok_or("no completion")?;
    ensure(end.status == CompletionStatus::Fault, "not a fault")?;
    ensure(end.fault_address.raw() == STRAY, "the wrong place")?;
    // Device and IOMMU may both tell of it.
    wait_for(before + 1);
    Ok(())
}

/// Fills all memory of the checks.
pub fn fill_all(c: &Context<'_>) -> Check {
    let fill = descriptor(Opcode::Fill, 0, page(0), PAGES * PAGE);
    c.succeed(&fill).map(drop)
}

/// A descriptor that fails.
pub fn stray() -> Descriptor {
    descriptor(Opcode::Fill, 0, STRAY, 64)
}
