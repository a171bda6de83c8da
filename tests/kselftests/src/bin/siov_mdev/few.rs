// SPDX-License-Identifier: GPL-2.0

//! Two domains in one container: what is mapped is mapped in both, what is unmapped is gone from
//! both, and either may leave first.

use crate::context::{page, Context, Owned, ADI, IOVA, PAGES};
use crate::{alone, tracking};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::adi::UserAdi;
use siov_kselftests::child::{locked_kib, pinned_pages};
use siov_kselftests::ktap::{self, expect_faults, Plan, Result};
use siov_kselftests::mdev::{uuid, Parent};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::copy;
use siov_kselftests::siov_testdev::regs::user::offset;
use siov_kselftests::siov_testdev::regs::CompletionStatus;
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{sysfs, PAGE};
use std::process::ExitCode;

/// PASIDs that the first parent has, without the one that stands for none.
const FEW: usize = 7;

/// Where further memory is mapped.
const OTHER: u64 = 0x4000_0000;
const HUGE: usize = 2 << 20;

/// Where registers of an ADI are mapped.
const REGISTERS: u64 = 0x8000_0000;

pub fn plan() -> ExitCode {
    ktap::run(Context::new, |context| {
        Plan::new(context)
            .case("the older domain leaves first", |c| both(c, true))
            .case("the younger domain leaves first", |c| both(c, false))
            .case("a second device and no PASID left", last_pasid)
            .case(
                "what an attached device may have written to",
                tracking::attached,
            )
            .run()
    })
}

/// The two devices of a container, in the order in which they came.
struct Pair {
    container: Container,
    adis: Vec<(UserAdi, Owned)>,
}

impl Pair {
    /// Has each device copy page `from` to a page of its own, and looks at what arrives.
    fn work(&self, memory: &Mapping, at: u64, from: usize) -> Result {
        for (index, (adi, _)) in self.adis.iter().enumerate() {
            let (to, data) = (from + 1 + index, bytes(PAGE, 100 + index as u64));
            memory.write(from * PAGE, &data);
            let address = |page: usize| at + (page * PAGE) as u64;
            adi.succeed(&copy(address(from), address(to), PAGE))?;
            expect_equal("the copy", &memory.read(to * PAGE, PAGE), &data)?;
        }
        Ok(())
    }

    /// Neither device reaches `at`.
    fn expect_gone(&self, at: u64) -> Result {
        for (adi, _) in &self.adis {
            expect_faults(4);
            let done = adi.execute(&copy(at, at + PAGE as u64, PAGE))?;
            ensure!(done.status == CompletionStatus::Fault, "{done:x?}");
        }
        Ok(())
    }

    /// Has the younger device read a register of the older at [`REGISTERS`], which holds `value`.
    fn read_register(&self, memory: &Mapping, value: u32) -> Result {
        let (younger, _) = self.adis.last().context("no device is left")?;
        memory.zero();
        younger.succeed(&copy(REGISTERS + offset::RING_ORDER, IOVA, 4))?;
        let read = memory.read32(0);
        ensure!(read == value, "{read:#x} in the register of {value:#x}");
        Ok(())
    }

    fn leave(&mut self, index: usize) -> Result {
        let (adi, mdev) = self.adis.remove(index);
        drop(adi);
        self.container.leave(mdev.0.group()?);
        Ok(())
    }
}

fn expect_locked(bytes: usize) -> Result {
    let (kib, expected) = (locked_kib()?, (bytes / 1024) as u64);
    ensure!(kib == expected, "{kib} KiB are locked, expected {expected}");
    Ok(())
}

fn both(c: &mut Context, older_first: bool) -> Result {
    let pinned = pinned_pages()?;
    let few = Function::all(SIOV_TESTDEV)?;
    let few = Parent::find(few.first().context("no parent")?.address())?;

    // Whoever comes after these gets a PASID that the first parent does not have.
    let mut takers = (0..FEW)
        .map(|_| {
            let mdev = c.create()?;
            Ok((alone(&mdev.0)?, mdev))
        })
        .collect::<Result<Vec<_>>>()?;
    let many = c.create()?;
    let mut container = Container::new()?;
    let older = UserAdi::open(&mut container, &many.0)?;
    drop(takers.remove(2));

    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    let huge = Mapping::memory(2 * HUGE)?;
    container.map(OTHER, &huge, 0, 2 * HUGE, Access::ReadWrite)?;
    let taken = (takers.len() * PAGES + PAGES) * PAGE;
    expect_locked(taken + 2 * HUGE)?;
    let registers = older.device.map_bar(0)?;
    container.map(REGISTERS, &registers, 0, PAGE, Access::ReadWrite)?;
    older.write32(offset::RING_ORDER, 3);

    let mdev = Owned(few.create(ADI, &uuid(5000))?);
    let younger = UserAdi::open(&mut container, &mdev.0)?;
    // The same memory once more, and nobody pays for it twice.
    expect_locked(taken + 2 * HUGE)?;
    let mut pair = Pair {
        container,
        adis: vec![(older, many), (younger, mdev)],
    };
    pair.read_register(&memory, 3)?;
    pair.work(&memory, IOVA, 0)?;
    for from in [0, 300, 509, 1020] {
        pair.work(&huge, OTHER, from)?;
    }

    // Out of both, and into both.
    pair.container.unmap(OTHER, 2 * HUGE)?;
    expect_locked(taken)?;
    pair.expect_gone(OTHER)?;
    pair.container
        .map(OTHER, &huge, 0, 2 * HUGE, Access::ReadWrite)?;
    pair.work(&huge, OTHER, 7)?;

    // What cannot be mapped as a whole is in neither.
    let holey = Mapping::memory(PAGES * PAGE)?;
    let at = OTHER + 4 * HUGE as u64;
    for hole in [0, PAGES / 2] {
        // SAFETY: Filled below. What is allocated meanwhile is small, so it is on the heap, which
        // grows in its own place.
        unsafe { holey.punch(hole * PAGE, PAGE) }?;
        let failed = pair
            .container
            .map(at, &holey, 0, PAGES * PAGE, Access::ReadWrite);
        sysfs::expect_errno(failed, Errno::EFAULT, "mapping a hole")?;
        expect_locked(taken + 2 * HUGE)?;
        pair.expect_gone(at)?;
        holey.fill(hole * PAGE, PAGE)?;
    }

    pair.read_register(&memory, 3)?;
    // The device whose registers they are does not leave as long as they are mapped.
    let registers = (!older_first).then_some(registers);
    if older_first {
        pair.expect_gone(REGISTERS)?;
    }
    pair.leave(usize::from(!older_first))?;
    drop(registers);
    pair.expect_gone(REGISTERS)?;
    pair.container.unmap(REGISTERS, PAGE)?;
    expect_locked(taken + 2 * HUGE)?;
    pair.work(&memory, page(0), 4)?;
    pair.work(&huge, OTHER, 1000)?;
    pair.container.unmap(OTHER, 2 * HUGE)?;
    expect_locked(taken)?;
    pair.expect_gone(OTHER)?;
    // With the last one all goes.
    pair.leave(0)?;
    expect_locked(taken - PAGES * PAGE)?;
    drop(takers);
    let now = pinned_pages()?;
    ensure!(now == pinned, "{now} pages are pinned, {pinned} before");
    Ok(())
}

/// A second device of a parent needs no further PASID in a container that has its parent.
fn last_pasid(c: &mut Context) -> Result {
    let few = Function::all(SIOV_TESTDEV)?;
    let few = Parent::find(few.first().context("no parent")?.address())?;
    let takers = (1..FEW)
        .map(|_| {
            let mdev = c.create()?;
            Ok((alone(&mdev.0)?, mdev))
        })
        .collect::<Result<Vec<_>>>()?;
    let mdevs = (0..3)
        .map(|index| few.create(ADI, &uuid(5001 + index)).map(Owned))
        .collect::<Result<Vec<_>>>()?;
    let mut container = Container::new()?;
    let first = UserAdi::open(&mut container, &mdevs[0].0)?;
    let elsewhere = alone(&mdevs[1].0);
    ensure!(elsewhere.is_err(), "there was a PASID left");
    let second = UserAdi::open(&mut container, &mdevs[2].0)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    let data = bytes(PAGE, 110);
    memory.write(0, &data);
    first.succeed(&copy(page(0), page(1), PAGE))?;
    second.succeed(&copy(page(1), page(2), PAGE))?;
    expect_equal(
        "what went through both",
        &memory.read(2 * PAGE, PAGE),
        &data,
    )?;
    drop(takers);
    Ok(())
}
