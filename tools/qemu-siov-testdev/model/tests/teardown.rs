// SPDX-License-Identifier: GPL-2.0

//! Drain, abort, reset and disable while work is in flight; the order of steps in time.

#![forbid(unsafe_code)]

mod common;

use common::{copy, pasid, recorded, Rig, CONFIG, PAGE};
use siov_testdev_model::{Config, Device, Region};
use siov_testdev_regs::global::{self, RawCommand};
use siov_testdev_regs::privileged::{self, Command, Control, Status, MAX_DELAY};
use siov_testdev_regs::{pci, user};
use siov_testdev_regs::{CompletionStatus, Descriptor, DescriptorFlags};

const P: u32 = 3;
const PAGES: u32 = 8;

/// ADI 0 with a delay of 1000 ns and a copy of eight pages under way, two of them done.
fn under_way() -> Rig {
    let mut rig = Rig::new();
    rig.machine.map(pasid(P), 0, 32);
    rig.machine.put(pasid(P), 0, &[0x55; 8 * PAGE as usize]);
    rig.enable(0, pasid(P));
    rig.set_delay(0, 1000);
    rig.submit(
        0,
        &recorded(copy(0, 16 * PAGE, PAGES * PAGE as u32), 31 * PAGE),
    );
    for _ in 0..3 {
        rig.run_once();
    }
    assert_eq!((rig.machine.now, rig.machine.requests.len()), (3000, 4));
    assert_eq!(rig.status(0), Status::ENABLED | Status::ACTIVE);
    rig
}

#[test]
fn every_step_takes_its_delay() {
    let mut rig = under_way();
    let started = rig.machine.now;
    rig.run();
    // Six pages and the completion are left.
    assert_eq!(rig.machine.now - started, 7000);
    assert_eq!(rig.completion(0).unwrap().status, CompletionStatus::Success);
    rig.set_delay(0, u64::MAX);
    let at = pci::privileged_page(0) + privileged::offset::DELAY;
    assert_eq!(rig.read(Region::Privileged, at, 8), MAX_DELAY);
}

#[test]
fn nothing_happens_before_it_is_due() {
    let mut rig = under_way();
    rig.machine.now += 999;
    rig.device.run(&mut rig.machine);
    assert_eq!(rig.machine.requests.len(), 4);
    rig.machine.now += 1;
    rig.device.run(&mut rig.machine);
    assert_eq!(rig.machine.requests.len(), 6);
}

#[test]
fn the_device_asks_to_be_woken_for_what_is_due_first() {
    let mut rig = under_way();
    let next = rig.machine.wake;
    rig.enable(1, pasid(P));
    rig.set_delay(1, 5000);
    rig.submit(1, &Descriptor::NOP);
    assert_eq!(rig.machine.wake, next);
    rig.enable(2, pasid(P));
    rig.set_delay(2, 10);
    rig.submit(2, &Descriptor::NOP);
    assert_eq!(rig.machine.wake, Some(rig.machine.now + 10));
}

#[test]
fn the_global_status_tells_of_work_in_flight() {
    let mut rig = under_way();
    let active = |rig: &mut Rig| {
        let status = rig.global(global::offset::STATUS);
        global::Status::from_bits_retain(status).contains(global::Status::ACTIVE)
    };
    assert!(active(&mut rig));
    rig.run();
    assert!(!active(&mut rig));
    let command = RawCommand::new(RawCommand::WRITE, 4);
    rig.set_global(global::offset::RAW_COMMAND, command.bits());
    assert!(active(&mut rig));
    rig.run();
    assert!(!active(&mut rig));
}

#[test]
fn drain_lets_the_descriptor_finish_and_starts_no_other() {
    let mut rig = under_way();
    rig.set_user(0, user::offset::RING_ORDER, 4);
    rig.set_user64(0, user::offset::RING_BASE, 30 * PAGE);
    rig.set_user(0, user::offset::RING_TAIL, 1);
    rig.command(0, Command::Drain);
    assert_eq!(rig.status(0), Status::ACTIVE | Status::DRAINING);
    // Neither can it be enabled before, nor does a doorbell count.
    rig.set_privileged(0, privileged::offset::CONTROL, Control::ENABLE.bits());
    assert_eq!(rig.status(0), Status::ACTIVE | Status::DRAINING);
    rig.set_user(0, user::offset::RING_TAIL, 2);
    rig.run();
    assert_eq!(rig.status(0), Status::empty());
    assert_eq!(rig.machine.get(pasid(P), 31 * PAGE, 4), [1, 0, 0, 0]);
    assert_eq!(
        (rig.completed(0), rig.user(0, user::offset::RING_HEAD)),
        (1, 0)
    );
    // What waited in the ring runs once it is enabled again.
    rig.set_privileged(0, privileged::offset::CONTROL, Control::ENABLE.bits());
    rig.run();
    assert_eq!(
        (rig.completed(0), rig.user(0, user::offset::RING_HEAD)),
        (2, 1)
    );
}

#[test]
fn drain_of_an_idle_adi_is_done_at_once() {
    let mut rig = Rig::new();
    rig.enable(0, pasid(P));
    rig.command(0, Command::Drain);
    assert_eq!(rig.status(0), Status::empty());
}

#[test]
fn abort_sends_nothing_any_more() {
    let mut rig = under_way();
    let before = rig.machine.snapshot();
    rig.set_user(0, user::offset::INTERRUPT_ENABLE, 1);
    rig.command(0, Command::Abort);
    assert_eq!((rig.status(0), rig.machine.wake), (Status::empty(), None));
    rig.machine.now += 1_000_000;
    rig.device.run(&mut rig.machine);
    assert_eq!(rig.machine.snapshot(), before);
    assert!(rig.machine.interrupts.is_empty());
    let c = rig.completion(0).unwrap();
    assert_eq!(
        (c.status, c.bytes),
        (CompletionStatus::Aborted, 2 * PAGE as u32)
    );
    // The ADI is as good as new.
    rig.set_privileged(0, privileged::offset::CONTROL, Control::ENABLE.bits());
    assert_eq!(
        rig.execute(0, &copy(0, PAGE, 8)).status,
        CompletionStatus::Success
    );
}

#[test]
fn abort_takes_what_waits_as_well() {
    let mut rig = under_way();
    rig.command(0, Command::Abort);
    rig.set_privileged(0, privileged::offset::CONTROL, Control::ENABLE.bits());
    rig.set_user(0, user::offset::RING_ORDER, 4);
    rig.set_user(0, user::offset::RING_TAIL, 3);
    rig.submit(0, &Descriptor::NOP);
    rig.command(0, Command::Abort);
    assert!(!rig.user_status(0).contains(user::Status::INLINE_BUSY));
    rig.set_privileged(0, privileged::offset::CONTROL, Control::ENABLE.bits());
    assert_eq!(rig.machine.wake, None);
}

#[test]
fn disabling_stops_after_the_descriptor_under_way() {
    let mut rig = under_way();
    rig.set_privileged(0, privileged::offset::CONTROL, 0);
    assert_eq!(rig.status(0), Status::ACTIVE);
    rig.run();
    assert_eq!((rig.status(0), rig.completed(0)), (Status::empty(), 1));
    rig.submit(0, &Descriptor::NOP);
    assert_eq!(rig.machine.wake, None);
}

#[test]
fn reset_of_an_adi_leaves_nothing_of_it_and_all_of_the_others() {
    let mut rig = under_way();
    rig.enable(1, pasid(9));
    rig.machine.map(pasid(9), 0, 2);
    rig.set_delay(1, 500);
    rig.submit(1, &copy(0, PAGE, 16));
    let read = |rig: &mut Rig, adi| {
        let all = |rig: &mut Rig, region, page| {
            (0..PAGE)
                .step_by(4)
                .map(|at| rig.read(region, page + at, 4))
                .collect::<Vec<_>>()
        };
        (
            all(rig, Region::Privileged, pci::privileged_page(adi)),
            all(rig, Region::User, pci::user_page(adi)),
        )
    };
    let fresh = read(&mut rig, 3);
    assert!(fresh
        .0
        .iter()
        .chain(&fresh.1)
        .all(|&register| register == 0));
    rig.command(0, Command::Reset);
    assert_eq!(read(&mut rig, 0), fresh);
    let before = rig.machine.requests.len();
    rig.run();
    assert!(rig.machine.requests[before..]
        .iter()
        .all(|r| r.pasid == pasid(9)));
    assert_eq!(rig.completion(1).unwrap().status, CompletionStatus::Success);
}

#[test]
fn device_reset_ends_all_without_a_trace() {
    for by_register in [true, false] {
        let mut rig = under_way();
        rig.set_global(
            global::offset::RAW_COMMAND,
            RawCommand::new(RawCommand::WRITE, 4).bits(),
        );
        rig.set_global(
            global::offset::CONTROL,
            global::Control::ERROR_INTERRUPT.bits(),
        );
        let before = rig.machine.snapshot();
        if by_register {
            rig.set_global(global::offset::CONTROL, global::Control::RESET.bits());
        } else {
            rig.device.reset(&mut rig.machine);
        }
        assert_eq!(rig.machine.wake, None);
        rig.machine.now += 1_000_000;
        rig.device.run(&mut rig.machine);
        assert_eq!(rig.machine.snapshot(), before);
        let mut fresh = Rig::new();
        for at in (0..8 * PAGE).step_by(4) {
            for region in [Region::Privileged, Region::User] {
                assert_eq!(
                    rig.read(region, at, 4),
                    fresh.read(region, at, 4),
                    "{region:?} {at:#x}"
                );
            }
        }
    }
}

#[test]
fn an_interrupt_asked_for_before_a_drain_still_comes() {
    let mut rig = under_way();
    rig.command(0, Command::Abort);
    rig.set_privileged(0, privileged::offset::CONTROL, Control::ENABLE.bits());
    rig.set_user(0, user::offset::INTERRUPT_ENABLE, 1);
    rig.submit(
        0,
        &Descriptor {
            flags: DescriptorFlags::INTERRUPT,
            ..copy(0, PAGE, 64)
        },
    );
    rig.run_once();
    rig.command(0, Command::Drain);
    rig.run();
    assert_eq!(rig.machine.interrupts, [pci::vector_of(0)]);
}

#[test]
fn registers_outside_the_adis_read_as_zero() {
    let mut rig = Rig::with(Config { adis: 3, ..CONFIG });
    assert_eq!(Device::size(&CONFIG, Region::Privileged), 8 * PAGE);
    assert_eq!(Device::size(&CONFIG, Region::User), 4 * PAGE);
    for at in [pci::privileged_page(3), 5 * PAGE, 1 << 40] {
        rig.write(Region::Privileged, at, 8, u64::MAX);
        assert_eq!(rig.read(Region::Privileged, at, 8), 0);
    }
    rig.write(
        Region::User,
        pci::user_page(3) + user::offset::RING_BASE,
        8,
        u64::MAX,
    );
    assert_eq!(
        rig.read(Region::User, pci::user_page(3) + user::offset::RING_BASE, 8),
        0
    );
    assert_eq!(rig.machine.wake, None);
}

#[test]
fn identification() {
    let mut rig = Rig::with(Config {
        adis: 17,
        pasid_bits: 16,
        ats: false,
        pri: true,
    });
    assert_eq!(rig.global(global::offset::ID), 0x564f_4953);
    assert_eq!(rig.global(global::offset::VERSION), 0x0001_0000);
    assert_eq!(rig.global(global::offset::ADI_COUNT), 17);
    let c = global::Capabilities::from_bits_retain(rig.read(
        Region::Privileged,
        global::offset::CAPABILITIES,
        8,
    ));
    assert_eq!((c.pasid_bits(), c.opcodes()), (16, 0x1f));
    assert!(!c.contains(global::Capabilities::ATS));
    assert!(c.contains(global::Capabilities::PRI | global::Capabilities::RAW));
}
