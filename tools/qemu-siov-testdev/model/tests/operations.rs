// SPDX-License-Identifier: GPL-2.0

//! What each operation does to memory, and what it says about it.

#![forbid(unsafe_code)]

mod common;

use common::{copy, noise, pasid, recorded, Rig, PAGE};
use proptest::prelude::*;
use siov_testdev_model::Region;
use siov_testdev_regs::{pci, user};
use siov_testdev_regs::{Completion, CompletionStatus, Descriptor, DescriptorFlags, Opcode};
use siov_types::Iova;

const P: u32 = 5;

/// A rig whose ADI 0 has PASID 5 and 16 pages from 0x10000 on, full of noise.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.machine.map(pasid(P), 0x10000, 16);
    rig.machine
        .put(pasid(P), 0x10000, &noise(1, 16 * PAGE as usize));
    rig.enable(0, pasid(P));
    rig
}

fn crc(start: u64, length: u32) -> Descriptor {
    Descriptor {
        opcode: Opcode::Crc32c,
        ..copy(start, 0, length)
    }
}

fn compare(a: u64, b: u64, length: u32) -> Descriptor {
    Descriptor {
        opcode: Opcode::Compare,
        ..copy(a, b, length)
    }
}

#[test]
fn nop_only_completes() {
    let mut rig = rig();
    let before = rig.machine.snapshot();
    let nop = Descriptor {
        tag: 77,
        length: 12345,
        source: Iova::new(1),
        ..Descriptor::NOP
    };
    let c = rig.execute(0, &nop);
    assert_eq!(
        (c.status, c.tag, c.bytes),
        (CompletionStatus::Success, 77, 0)
    );
    assert!(rig.machine.requests.is_empty());
    assert_eq!(rig.machine.snapshot(), before);
}

#[test]
fn crc_of_a_known_text() {
    let mut rig = rig();
    // Across a page boundary.
    rig.machine.put(pasid(P), 0x11000 - 4, b"123456789");
    let c = rig.execute(0, &crc(0x11000 - 4, 9));
    assert_eq!(
        (c.status, c.result, c.bytes),
        (CompletionStatus::Success, 0xe306_9283, 9)
    );
    assert_eq!(rig.execute(0, &crc(0x11000, 0)).result, 0);
}

#[test]
fn the_record_is_written_behind_the_data_and_its_head_last() {
    let mut rig = rig();
    let d = recorded(
        Descriptor {
            tag: 9,
            ..copy(0x10000, 0x18000, 100)
        },
        0x1f020,
    );
    let c = rig.execute(0, &d);
    let bytes = rig.machine.get(pasid(P), 0x1f020, Completion::BYTES);
    assert_eq!(
        Completion::from_bytes(bytes[..].try_into().unwrap()),
        Some(c)
    );
    let writes: Vec<_> = rig
        .machine
        .requests
        .iter()
        .filter(|r| r.write)
        .map(|r| (r.address, r.length))
        .collect();
    assert_eq!(writes, [(0x18000, 100), (0x1f028, 24), (0x1f020, 8)]);
}

#[test]
fn without_the_flag_no_record_is_written() {
    let mut rig = rig();
    let before = rig.machine.get(pasid(P), 0x1f000, 4096);
    rig.execute(
        0,
        &Descriptor {
            completion: Iova::new(0x1f020),
            ..copy(0x10000, 0x18000, 100)
        },
    );
    assert_eq!(rig.machine.get(pasid(P), 0x1f000, 4096), before);
}

#[test]
fn an_invalid_descriptor_is_told_in_the_page_only() {
    let mut rig = rig();
    let before = rig.machine.snapshot();
    rig.set_user(0, user::offset::INTERRUPT_ENABLE, 1);
    let mut bytes = recorded(
        Descriptor {
            tag: 3,
            ..copy(0x10000, 0x18000, 100)
        },
        0x1f000,
    )
    .to_bytes();
    bytes[0] = 200;
    rig.submit_bytes(0, &bytes);
    rig.run();
    let c = rig.completion(0).unwrap();
    assert_eq!((c.status, c.tag), (CompletionStatus::Invalid, 3));
    assert_eq!(rig.machine.snapshot(), before);
    assert!(rig.machine.requests.is_empty());
    assert_eq!(rig.machine.interrupts, [pci::vector_of(0)]);
}

#[test]
fn what_was_submitted_is_what_runs() {
    let mut rig = rig();
    rig.set_delay(0, 1000);
    rig.submit(0, &copy(0x10000, 0x18000, 8));
    // Too late to change it, and the doorbell is lost.
    rig.submit(0, &copy(0x10000, 0x19000, 8));
    let before = rig.machine.get(pasid(P), 0x19000, 8);
    rig.run();
    assert_eq!(rig.completed(0), 1);
    assert_eq!(
        rig.machine.get(pasid(P), 0x18000, 8),
        rig.machine.get(pasid(P), 0x10000, 8)
    );
    assert_eq!(rig.machine.get(pasid(P), 0x19000, 8), before);
}

#[test]
fn the_inline_doorbell_counts_only_when_it_can() {
    let mut rig = rig();
    rig.set_delay(0, 1000);
    rig.submit(0, &copy(0x10000, 0x18000, 8));
    rig.run_once();
    assert!(rig.user_status(0).contains(user::Status::INLINE_BUSY));
    rig.set_user(0, user::offset::INLINE_DOORBELL, 1);
    rig.run();
    assert_eq!(rig.completed(0), 1);
    // Not while the ADI takes no work, and not afterwards either.
    rig.set_user(1, user::offset::INLINE_DOORBELL, 1);
    rig.enable(1, pasid(P));
    assert_eq!(rig.user_status(1), user::Status::READY);
    assert_eq!(rig.machine.wake, None);
}

#[test]
fn the_end_of_a_ring_descriptor_is_none_of_the_inline_one() {
    let mut rig = rig();
    rig.set_delay(0, 1000);
    rig.set_user64(0, user::offset::RING_BASE, 0x10000);
    rig.set_user(0, user::offset::RING_ORDER, 2);
    put_ring(&mut rig, 0x10000, &[copy(0x12000, 0x13000, 8)]);
    rig.set_user(0, user::offset::RING_TAIL, 1);
    rig.run_once();
    rig.submit(0, &Descriptor::NOP);
    while rig.completed(0) == 0 {
        rig.run_once();
    }
    assert!(rig.user_status(0).contains(user::Status::INLINE_BUSY));
    rig.run();
    assert_eq!(rig.completed(0), 2);
}

#[test]
fn registers_can_be_written_by_halves() {
    let mut rig = rig();
    rig.set_user(0, user::offset::RING_BASE + 4, 0x1234_5678);
    rig.set_user(0, user::offset::RING_BASE, 0x9abc_def0);
    let base = rig.read(Region::User, user::offset::RING_BASE, 8);
    assert_eq!(base, 0x1234_5678_9abc_dec0);
    assert_eq!(rig.user(0, user::offset::RING_BASE + 4), 0x1234_5678);
}

fn put_ring(rig: &mut Rig, base: u64, descriptors: &[Descriptor]) {
    for (at, d) in (base..).step_by(64).zip(descriptors) {
        rig.machine.put(pasid(P), at, &d.to_bytes());
    }
}

#[test]
fn a_ring_runs_in_order_and_wraps() {
    let mut rig = rig();
    rig.set_user64(0, user::offset::RING_BASE, 0x10000);
    rig.set_user(0, user::offset::RING_ORDER, 2);
    let record = |n: u64| {
        recorded(
            Descriptor {
                tag: n as u32,
                ..Descriptor::NOP
            },
            0x18000 + 32 * n,
        )
    };
    put_ring(
        &mut rig,
        0x10000,
        &[record(0), record(1), record(2), record(3)],
    );
    rig.set_user(0, user::offset::RING_TAIL, 3);
    rig.run();
    assert_eq!(
        (rig.completed(0), rig.user(0, user::offset::RING_HEAD)),
        (3, 3)
    );
    // Index 3, then 0 again.
    rig.set_user(0, user::offset::RING_TAIL, 1);
    rig.run();
    assert_eq!(
        (rig.completed(0), rig.user(0, user::offset::RING_HEAD)),
        (5, 1)
    );
    let heads: Vec<u64> = rig
        .machine
        .requests
        .iter()
        .filter(|r| r.write && r.length == 8)
        .map(|r| r.address)
        .collect();
    assert_eq!(heads, [0x18000, 0x18020, 0x18040, 0x18060, 0x18000]);
    // An index beyond the ring is taken modulo its size.
    rig.set_user(0, user::offset::RING_TAIL, 0x402);
    assert_eq!(rig.user(0, user::offset::RING_TAIL), 2);
}

#[test]
fn a_ring_that_cannot_be_read_halts_until_it_gets_a_base() {
    let mut rig = rig();
    rig.set_user(0, user::offset::INTERRUPT_ENABLE, 1);
    rig.set_user64(0, user::offset::RING_BASE, 0x90000);
    rig.set_user(0, user::offset::RING_ORDER, 4);
    rig.set_user(0, user::offset::RING_TAIL, 2);
    rig.run();
    assert!(rig.user_status(0).contains(user::Status::HALTED));
    assert_eq!(rig.machine.interrupts, [pci::vector_of(0)]);
    assert_eq!((rig.machine.requests.len(), rig.completed(0)), (1, 0));
    rig.set_user(0, user::offset::RING_TAIL, 3);
    rig.run();
    assert_eq!(rig.machine.requests.len(), 1);

    // The inline descriptor still works.
    rig.execute(0, &Descriptor::NOP);

    put_ring(&mut rig, 0x10000, &[Descriptor::NOP]);
    rig.set_user64(0, user::offset::RING_BASE, 0x1003f);
    assert_eq!(rig.read(Region::User, user::offset::RING_BASE, 8), 0x10000);
    assert!(!rig.user_status(0).contains(user::Status::HALTED));
    rig.set_user(0, user::offset::RING_TAIL, 1);
    rig.run();
    assert_eq!(rig.completed(0), 2);
}

#[test]
fn events_raise_the_vector_once_each_and_none_is_lost() {
    let mut rig = rig();
    let nop = Descriptor {
        flags: DescriptorFlags::INTERRUPT,
        ..Descriptor::NOP
    };
    rig.enable(2, pasid(P));
    rig.execute(2, &nop);
    assert_eq!(rig.user(2, user::offset::INTERRUPT_STATUS), 1);
    assert!(rig.machine.interrupts.is_empty());
    rig.set_user(2, user::offset::INTERRUPT_ENABLE, 1);
    assert_eq!(rig.machine.interrupts, [3]);
    rig.set_user(2, user::offset::INTERRUPT_ENABLE, 1);
    assert_eq!(rig.machine.interrupts, [3]);
    rig.set_user(2, user::offset::INTERRUPT_STATUS, 1);
    assert_eq!(rig.user(2, user::offset::INTERRUPT_STATUS), 0);
    rig.execute(2, &nop);
    rig.execute(2, &Descriptor::NOP);
    assert_eq!(rig.machine.interrupts, [3, 3]);
    // Masked and already told: enabling again is no new event.
    rig.set_user(2, user::offset::INTERRUPT_STATUS, 1);
    rig.set_user(2, user::offset::INTERRUPT_ENABLE, 0);
    rig.set_user(2, user::offset::INTERRUPT_ENABLE, 1);
    assert_eq!(rig.machine.interrupts, [3, 3]);
}

#[test]
fn a_fault_stops_the_descriptor_at_its_page() {
    let mut rig = rig();
    rig.machine.unmap(pasid(P), 0x19000);
    let before = rig.machine.snapshot();
    let c = rig.execute(0, &recorded(copy(0x10000, 0x18800, 0x1800), 0x1f000));
    assert_eq!(
        (c.status, c.bytes, c.fault_address),
        (CompletionStatus::Fault, 0x800, Iova::new(0x19000))
    );
    let record = rig.machine.get(pasid(P), 0x1f000, 32);
    assert_eq!(
        Completion::from_bytes(record[..].try_into().unwrap()),
        Some(c)
    );
    assert_eq!(
        rig.machine.get(pasid(P), 0x1a000, 0x1000),
        before[&(pasid(P), 0x1a)]
    );
    // The next descriptor runs.
    assert_eq!(
        rig.execute(0, &copy(0x10000, 0x18000, 8)).status,
        CompletionStatus::Success
    );
}

#[test]
fn a_record_that_cannot_be_written_is_a_fault() {
    let mut rig = rig();
    rig.machine.map_read_only(pasid(P), 0x90000);
    let c = rig.execute(0, &recorded(copy(0x10000, 0x18000, 16), 0x90000));
    assert_eq!(
        (c.status, c.bytes, c.fault_address),
        (CompletionStatus::Fault, 16, Iova::new(0x90008))
    );
    assert_eq!(rig.machine.get(pasid(P), 0x90000, 4096), [0; 4096]);
}

proptest! {
    #[test]
    fn copies_move_what_they_say(from in 0_u64..0x7000, to in 0_u64..0x7000, length in 0_u32..0x1000) {
        let mut rig = rig();
        let before = rig.machine.get(pasid(P), 0x10000, 0x10000);
        let (from, to) = (0x10000 + from, 0x18000 + to);
        let c = rig.execute(0, &copy(from, to, length));
        prop_assert_eq!((c.status, c.bytes, c.result), (CompletionStatus::Success, length, 0));
        let (from, to, length) = ((from - 0x10000) as usize, (to - 0x10000) as usize, length as usize);
        let mut expected = before.clone();
        expected[to..to + length].copy_from_slice(&before[from..from + length]);
        prop_assert_eq!(rig.machine.get(pasid(P), 0x10000, 0x10000), expected);
    }

    #[test]
    fn fills_repeat_the_pattern_from_the_start(to in 0_u64..0xe000, length in 0_u32..0x2000, pattern: u64) {
        let mut rig = rig();
        let mut expected = rig.machine.get(pasid(P), 0x10000, 0x10000);
        let fill = Descriptor { opcode: Opcode::Fill, pattern, ..copy(0, 0x10000 + to, length) };
        prop_assert_eq!(rig.execute(0, &fill).bytes, length);
        let to = to as usize;
        for (n, byte) in expected[to..to + length as usize].iter_mut().enumerate() {
            *byte = (pattern >> (8 * (n % 8))) as u8;
        }
        prop_assert_eq!(rig.machine.get(pasid(P), 0x10000, 0x10000), expected);
    }

    #[test]
    fn comparisons_find_the_first_difference(
        a in 0_u64..0x5000, b in 0_u64..0x5000, length in 1_u32..0x3000, flips in prop::collection::vec(0_u32..0x3000, 0..3)
    ) {
        let mut rig = rig();
        let (a, b) = (0x10000 + a, 0x18000 + b);
        let mut data = rig.machine.get(pasid(P), a, length as usize);
        for &at in flips.iter().filter(|&&at| at < length) {
            data[at as usize] ^= 0x10;
        }
        let original = rig.machine.get(pasid(P), a, length as usize);
        rig.machine.put(pasid(P), b, &data);
        let c = rig.execute(0, &compare(a, b, length));
        match data.iter().zip(&original).position(|(x, y)| x != y) {
            Some(first) => prop_assert_eq!((c.status, c.result, c.bytes), (CompletionStatus::Mismatch, first as u64, first as u32)),
            None => prop_assert_eq!((c.status, c.result, c.bytes), (CompletionStatus::Success, 0, length)),
        }
    }

    #[test]
    fn checksums_do_not_depend_on_where_pieces_end(start in 0_u64..0x3000, length in 0_u32..0x3000) {
        let mut rig = rig();
        let data = rig.machine.get(pasid(P), 0x10000 + start, length as usize);
        rig.machine.put(pasid(P), 0x18000, &data);
        let here = rig.execute(0, &crc(0x10000 + start, length));
        let there = rig.execute(0, &crc(0x18000, length));
        prop_assert_eq!(here.result, there.result);
        let mut whole = !0_u32;
        for byte in data {
            whole ^= u32::from(byte);
            for _ in 0..8 {
                whole = (whole >> 1) ^ (0x82f6_3b78 * (whole & 1));
            }
        }
        prop_assert_eq!(here.result, u64::from(!whole));
    }
}
