// SPDX-License-Identifier: GPL-2.0

//! Whose memory an ADI reaches, and what happens when it asks for somebody else's.

#![forbid(unsafe_code)]

mod common;

use common::{copy, noise, pasid, recorded, Rig, CONFIG, PAGE};
use siov_testdev_model::{Config, Invalidation, Region};
use siov_testdev_regs::global::{self, RawCommand, RawStatus, Status};
use siov_testdev_regs::privileged::{self, Control, PasidControl};
use siov_testdev_regs::{pci, user};
use siov_testdev_regs::{CompletionStatus, FaultReason, FaultSource};
use siov_types::{Iova, IovaRange};

#[test]
fn the_same_address_is_another_page_in_each_adi() {
    let mut rig = Rig::with(Config { adis: 64, ..CONFIG });
    for adi in 0..64 {
        let p = pasid(1000 + adi);
        rig.machine.map(p, 0x4000, 3);
        rig.machine
            .put(p, 0x4000, &noise(adi.into(), PAGE as usize));
        rig.enable(adi, p);
    }
    for adi in 0..64 {
        rig.submit(adi, &recorded(copy(0x4000, 0x5000, PAGE as u32), 0x6000));
    }
    rig.run();
    for adi in 0..64 {
        let p = pasid(1000 + adi);
        assert_eq!(
            rig.machine.get(p, 0x5000, PAGE as usize),
            noise(adi.into(), PAGE as usize)
        );
        assert_eq!(rig.machine.get(p, 0x6000, 4), [1, 0, 0, 0]);
        let others = rig.machine.requests.iter().filter(|r| r.pasid == p).count();
        assert_eq!(others, 4, "ADI {adi}");
    }
}

#[test]
fn adis_take_turns() {
    let mut rig = Rig::new();
    for adi in 0..4 {
        rig.machine.map(pasid(adi + 1), 0, 64);
        rig.enable(adi, pasid(adi + 1));
        rig.submit(adi, &copy(0, 32 * PAGE, 32 * PAGE as u32));
    }
    // One call of run() is 64 steps, so no ADI can have gone far ahead.
    assert!(rig.run_once());
    for adi in 0..4 {
        let served = rig
            .machine
            .requests
            .iter()
            .filter(|r| r.pasid == pasid(adi + 1))
            .count();
        assert_eq!(served, 30, "ADI {adi}");
    }
    rig.run();
}

#[test]
fn a_fault_names_all_there_is_to_know() {
    let mut rig = Rig::new();
    rig.machine.map(pasid(7), 0x4000, 1);
    rig.machine.map_read_only(pasid(7), 0x5000);
    rig.set_global(
        global::offset::CONTROL,
        global::Control::ERROR_INTERRUPT.bits(),
    );
    rig.enable(1, pasid(7));

    let c = rig.execute(1, &copy(0x4000, 0x5010, 64));
    assert_eq!(
        (c.status, c.fault_address),
        (CompletionStatus::Fault, Iova::new(0x5010))
    );
    let f = rig.fault(1);
    assert_eq!(
        (f.reason(), f.source()),
        (Some(FaultReason::Blocked), Some(FaultSource::Destination))
    );
    assert!(f.is_write() && f.is_tagged() && !f.is_overflow());
    assert_eq!(rig.fault_address(1), 0x5010);
    assert_eq!(rig.privileged(1, privileged::offset::FAULT_PASID), 7);
    assert_eq!(rig.machine.interrupts, [pci::VECTOR_ERROR]);
    assert_eq!(
        rig.read(Region::Privileged, global::offset::FAULT_PENDING, 8),
        1 << 1
    );

    rig.execute(1, &copy(0x6000, 0x4000, 64));
    assert!(rig.fault(1).is_overflow());
    assert_eq!(rig.fault_address(1), 0x5010);
    assert_eq!(rig.privileged(1, privileged::offset::FAULT_COUNT), 2);

    rig.set_privileged(1, privileged::offset::FAULT_STATUS, 1);
    assert_eq!((rig.fault(1).raw(), rig.fault_address(1)), (0, 0));
    assert_eq!(
        rig.read(Region::Privileged, global::offset::FAULT_PENDING, 8),
        0
    );
    rig.execute(1, &copy(0x6000, 0x4000, 64));
    let f = rig.fault(1);
    assert_eq!(f.source(), Some(FaultSource::Source));
    assert!(!f.is_write());
    // Without the enable bit the fault is recorded and told to nobody.
    let told = rig.machine.interrupts.len();
    rig.set_global(global::offset::CONTROL, 0);
    rig.execute(1, &copy(0x6000, 0x4000, 64));
    assert_eq!(rig.machine.interrupts.len(), told);
}

#[test]
fn fault_pending_has_a_bit_for_every_adi() {
    let mut rig = Rig::with(Config {
        adis: 256,
        ..CONFIG
    });
    for adi in [0, 31, 32, 63, 64, 130, 255] {
        rig.enable(adi, pasid(1));
        rig.execute(adi, &copy(0, 0, 1));
        let words: Vec<u64> = (0..4)
            .map(|n| rig.read(Region::Privileged, global::offset::FAULT_PENDING + 8 * n, 8))
            .collect();
        let mut expected = [0; 4];
        expected[adi as usize / 64] = 1 << (adi % 64);
        assert_eq!(words, expected);
        rig.set_privileged(adi, privileged::offset::FAULT_STATUS, 1);
    }
}

#[test]
fn without_a_pasid_nothing_goes_out_unless_allowed() {
    let mut rig = Rig::new();
    rig.machine.map(None, 0x4000, 2);
    rig.machine.put(None, 0x4000, &[0xab; 16]);
    rig.enable(0, None);
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 16)).status,
        CompletionStatus::Fault
    );
    assert_eq!(rig.fault(0).reason(), Some(FaultReason::UntaggedForbidden));
    assert!(!rig.fault(0).is_tagged());
    assert!(rig.machine.requests.is_empty());

    let control = Control::ENABLE | Control::ALLOW_UNTAGGED;
    rig.set_privileged(0, privileged::offset::CONTROL, control.bits());
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 16)).status,
        CompletionStatus::Success
    );
    assert_eq!(rig.machine.get(None, 0x5000, 16), [0xab; 16]);
    assert!(rig.machine.requests.iter().all(|r| r.pasid.is_none()));

    // With a PASID the permission means nothing.
    rig.machine.requests.clear();
    rig.set_privileged(0, privileged::offset::CONTROL, 0);
    rig.set_privileged(
        0,
        privileged::offset::PASID,
        PasidControl::new(pasid(3)).raw(),
    );
    rig.set_privileged(0, privileged::offset::CONTROL, control.bits());
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 16)).status,
        CompletionStatus::Fault
    );
    assert!(rig.machine.requests.iter().all(|r| r.pasid == pasid(3)));
}

#[test]
fn the_pasid_is_fixed_while_anything_can_use_it() {
    let mut rig = Rig::new();
    rig.machine.map(pasid(1), 0, 2);
    rig.enable(0, pasid(1));
    let write = |rig: &mut Rig| {
        rig.set_privileged(
            0,
            privileged::offset::PASID,
            PasidControl::new(pasid(2)).raw(),
        );
        PasidControl::from_raw(rig.privileged(0, privileged::offset::PASID)).pasid()
    };
    assert_eq!(write(&mut rig), pasid(1));
    rig.set_delay(0, 1000);
    rig.submit(0, &copy(0, 0x1000, 16));
    rig.run_once();
    // Disabled, but a descriptor is under way.
    rig.set_privileged(0, privileged::offset::CONTROL, 0);
    assert!(rig.status(0).contains(privileged::Status::ACTIVE));
    assert_eq!(write(&mut rig), pasid(1));
    rig.run();
    assert_eq!(rig.completion(0).unwrap().status, CompletionStatus::Success);
    assert_eq!(write(&mut rig), pasid(2));
}

#[test]
fn the_user_page_tells_and_changes_nothing_about_the_pasid() {
    let mut rig = Rig::new();
    let user_page = |rig: &mut Rig| {
        (0..PAGE)
            .step_by(4)
            .map(|at| rig.user(0, at))
            .collect::<Vec<_>>()
    };
    let without = user_page(&mut rig);
    rig.set_privileged(
        0,
        privileged::offset::PASID,
        PasidControl::new(pasid(0x5a5a5)).raw(),
    );
    rig.set_delay(0, 0x1234);
    assert_eq!(user_page(&mut rig), without);

    let privileged = |rig: &mut Rig| {
        (0..8 * PAGE)
            .step_by(4)
            .map(|at| rig.global(at))
            .collect::<Vec<_>>()
    };
    let before = privileged(&mut rig);
    for at in (0..PAGE).step_by(4) {
        for value in [0, 1, 0x8000_0001, u32::MAX] {
            rig.set_user(0, at, value);
        }
    }
    rig.run();
    assert_eq!(privileged(&mut rig), before);
    // Nor does another ADI's page.
    let (zero, other) = (user_page(&mut rig), rig.user(1, user::offset::RING_TAIL));
    rig.set_user(1, user::offset::RING_ORDER, 3);
    assert_eq!(user_page(&mut rig), zero);
    assert_eq!(other, 0);
}

#[test]
fn configuration_space_has_the_last_word() {
    for (enabled, reason) in [
        (Status::PASID, FaultReason::BusMasterOff),
        (Status::BUS_MASTER, FaultReason::PasidOff),
    ] {
        let mut rig = Rig::new();
        rig.machine.map(pasid(1), 0, 1);
        rig.enable(0, pasid(1));
        rig.machine.enabled = enabled;
        assert_eq!(
            rig.execute(0, &copy(0, 0x800, 16)).status,
            CompletionStatus::Fault
        );
        assert_eq!(rig.fault(0).reason(), Some(reason));
        assert_eq!(rig.global(global::offset::STATUS), enabled.bits());
    }
}

#[test]
fn a_pasid_wider_than_the_capability_is_not_sent() {
    let mut rig = Rig::with(Config {
        pasid_bits: 8,
        ..CONFIG
    });
    rig.machine.map(pasid(255), 0, 1);
    rig.enable(0, pasid(256));
    assert_eq!(
        rig.execute(0, &copy(0, 0x800, 16)).status,
        CompletionStatus::Fault
    );
    assert_eq!(rig.fault(0).reason(), Some(FaultReason::PasidTooWide));
    assert!(rig.machine.requests.is_empty());
    rig.enable(1, pasid(255));
    assert_eq!(
        rig.execute(1, &copy(0, 0x800, 16)).status,
        CompletionStatus::Success
    );
}

#[test]
fn raw_accesses_go_where_they_are_sent() {
    let mut rig = Rig::new();
    rig.machine.map(pasid(9), 0x4000, 1);
    rig.machine.map(None, 0xfee0_0000, 1);
    let write = RawCommand::WRITE;
    let tagged = RawCommand::TAGGED;
    let all = RawCommand::new(write | tagged, 4);
    assert_eq!(
        rig.raw(all, 9, 0x4008, 0x1122_3344_5566_7788),
        RawStatus::DONE
    );
    assert_eq!(
        rig.machine.get(pasid(9), 0x4008, 8),
        [0x88, 0x77, 0x66, 0x55, 0, 0, 0, 0]
    );
    assert_eq!(
        rig.raw(RawCommand::new(tagged, 2), 9, 0x4008, u64::MAX),
        RawStatus::DONE
    );
    assert_eq!(
        rig.read(Region::Privileged, global::offset::RAW_DATA, 8),
        0x7788
    );
    assert_eq!(
        rig.raw(RawCommand::new(write, 4), 9, 0xfee0_0000, 0x41),
        RawStatus::DONE
    );
    assert_eq!(rig.machine.get(None, 0xfee0_0000, 4), [0x41, 0, 0, 0]);
    let failed = rig.raw(all, 10, 0x4008, 0);
    assert_eq!(failed.failure(), Some(FaultReason::Blocked));
    // Up to the end of a page.
    assert_eq!(rig.raw(all, 9, 0x4ffc, 0), RawStatus::DONE);
    // Neither a length that is none nor a page boundary reaches the bus.
    let sent = rig.machine.requests.len();
    assert_eq!(
        rig.raw(RawCommand::new(all, 3), 9, 0x4000, 0).failure(),
        Some(FaultReason::Blocked)
    );
    assert_eq!(
        rig.raw(RawCommand::new(write | tagged, 8), 9, 0x4ffc, 0)
            .failure(),
        Some(FaultReason::Blocked)
    );
    assert_eq!(rig.machine.requests.len(), sent);
}

#[test]
fn translations_are_kept_until_they_are_invalidated() {
    let mut rig = Rig::new();
    rig.machine.enabled |= Status::ATS;
    rig.machine.map(pasid(1), 0x4000, 2);
    rig.machine.put(pasid(1), 0x4000, &[1; 64]);
    rig.enable(0, pasid(1));
    rig.execute(0, &copy(0x4000, 0x5000, 64));
    rig.execute(0, &copy(0x4000, 0x5000, 64));
    assert_eq!(rig.machine.translations(), 2);
    assert_eq!(rig.machine.get(pasid(1), 0x5000, 64), [1; 64]);

    // A stale translation is used, until the IOMMU takes it back.
    rig.machine.unmap(pasid(1), 0x4000);
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 64)).status,
        CompletionStatus::Success
    );
    rig.machine.unmap(pasid(1), 0x4000);
    rig.machine.invalidations.push(Invalidation {
        pasid: pasid(2),
        range: IovaRange::ALL,
    });
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 64)).status,
        CompletionStatus::Success
    );
    rig.machine.unmap(pasid(1), 0x4000);
    let range = IovaRange::from_len(Iova::new(0x4000), PAGE).unwrap();
    rig.machine.invalidations.push(Invalidation {
        pasid: pasid(1),
        range,
    });
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 64)).status,
        CompletionStatus::Fault
    );
    assert_eq!(rig.fault(0).reason(), Some(FaultReason::Blocked));
}

#[test]
fn translations_do_not_outlive_ats() {
    let mut rig = Rig::new();
    rig.machine.enabled |= Status::ATS;
    rig.machine.map(pasid(1), 0x4000, 2);
    rig.enable(0, pasid(1));
    rig.execute(0, &copy(0x4000, 0x5000, 64));
    rig.machine.enabled.remove(Status::ATS);
    rig.execute(0, &copy(0x4000, 0x5000, 64));
    rig.machine.enabled |= Status::ATS;
    rig.machine.unmap(pasid(1), 0x4000);
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 64)).status,
        CompletionStatus::Fault
    );
}

#[test]
fn a_read_only_translation_does_not_serve_a_write() {
    let mut rig = Rig::new();
    rig.machine.enabled |= Status::ATS;
    rig.machine.map_read_only(pasid(1), 0x4000);
    rig.machine.map(pasid(1), 0x5000, 1);
    rig.enable(0, pasid(1));
    assert_eq!(
        rig.execute(0, &copy(0x4000, 0x5000, 64)).status,
        CompletionStatus::Success
    );
    assert_eq!(
        rig.execute(0, &copy(0x5000, 0x4000, 64)).status,
        CompletionStatus::Fault
    );
    assert_eq!(rig.machine.get(pasid(1), 0x4000, 64), [0; 64]);
    // Writes to the interrupt range are never translated.
    let translations = rig.machine.translations();
    rig.machine.map(None, 0xfee0_0000, 1);
    let write = RawCommand::new(RawCommand::WRITE, 4);
    assert_eq!(rig.raw(write, 0, 0xfee0_0000, 0x41), RawStatus::DONE);
    assert_eq!(rig.machine.translations(), translations);
}
