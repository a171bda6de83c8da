// SPDX-License-Identifier: GPL-2.0

//! What an interface must not reach it does not reach, and the privileged page says why.

use crate::context::Context;
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::{prot, NO_PASID};
use siov_kselftests::siov_testdev::regs::{FaultReason, FaultSource};
use siov_kselftests::siov_testdev::{copy, fill, recorded};
use siov_kselftests::space::{expect_blocked, page, IOVA};
use siov_kselftests::PAGE;

pub fn unmapped(c: &mut Context) -> Result {
    let space = c.space(40, 4)?;
    let adi = c.root.adi(0);
    adi.enable(Some(40));
    let data = space.fill(0, 1);
    let beyond = page(4);

    expect_blocked(
        adi,
        Some(40),
        &copy(beyond, page(1), 64),
        FaultSource::Source,
        beyond,
    )?;
    expect_blocked(
        adi,
        Some(40),
        &fill(beyond + 8, 64, 1),
        FaultSource::Destination,
        beyond + 8,
    )?;
    let record = recorded(fill(page(1), 64, 1), beyond);
    expect_blocked(adi, Some(40), &record, FaultSource::Completion, beyond + 8)?;

    // Up to the page that is missing, and no further.
    space.buffer.memory.write(3 * PAGE, &[0; PAGE]);
    expect_blocked(
        adi,
        Some(40),
        &fill(page(3), 2 * PAGE, !0),
        FaultSource::Destination,
        beyond,
    )?;
    space.expect(3, &[0xff; PAGE])?;

    space.domain.unmap(page(2), PAGE)?;
    space
        .domain
        .map(page(2), space.buffer.phys, PAGE, prot::READ)?;
    adi.succeed(&copy(page(2), page(1), PAGE))?;
    space.expect(1, &data)?;
    expect_blocked(
        adi,
        Some(40),
        &fill(page(2), 64, 1),
        FaultSource::Destination,
        page(2),
    )?;
    space.expect(0, &data)?;

    // The translation was in use a moment ago.
    space.domain.unmap(page(2), PAGE)?;
    expect_blocked(
        adi,
        Some(40),
        &copy(page(2), page(1), 64),
        FaultSource::Source,
        page(2),
    )?;
    adi.drain()
}

pub fn unattached(c: &mut Context) -> Result {
    let space = c.space(50, 2)?;
    let (adi, other) = (c.root.adi(0), c.root.adi(1));
    other.enable(Some(50));

    // Never attached: in a table that exists, and in one that does not.
    for pasid in [51, 0x7_0000] {
        adi.enable(Some(pasid));
        expect_blocked(
            adi,
            Some(pasid),
            &fill(IOVA, 64, 1),
            FaultSource::Destination,
            IOVA,
        )?;
        adi.drain()?;
    }
    // The same PASID of another function is another PASID.
    if let Some(device) = &c.behind_port {
        let adi = device.adi(0);
        adi.enable(Some(50));
        expect_blocked(
            adi,
            Some(50),
            &fill(IOVA, 64, 1),
            FaultSource::Destination,
            IOVA,
        )?;
        adi.drain()?;
    }
    space.expect(0, &[0; PAGE])?;
    other.succeed(&fill(IOVA, 64, 0))?;

    // No longer attached, and attached again.
    space.domain.detach(&c.root.function, 50)?;
    expect_blocked(
        other,
        Some(50),
        &fill(IOVA, 64, 1),
        FaultSource::Destination,
        IOVA,
    )?;
    space.domain.attach(&c.root.function, 50)?;
    other.succeed(&fill(IOVA, 64, 0))?;

    // A domain that is gone.
    let gone = c.space(52, 2)?;
    adi.enable(Some(52));
    adi.succeed(&fill(IOVA, 64, 0))?;
    let buffer = gone.buffer;
    drop(gone.domain);
    expect_blocked(
        adi,
        Some(52),
        &fill(IOVA, 64, 1),
        FaultSource::Destination,
        IOVA,
    )?;
    ensure!(buffer.memory.read(0, PAGE) == [0; PAGE]);
    other.drain()?;
    adi.drain()
}

/// Requests without PASID are forbidden by the device, or go to the function's own domain.
pub fn untagged(c: &mut Context) -> Result {
    let own = c.space(NO_PASID, 2)?;
    let tagged = c.space(60, 2)?;
    let (plain, with_pasid) = (c.root.adi(0), c.root.adi(1));
    with_pasid.enable(Some(60));

    plain.enable(None);
    let fault = plain.fault(&fill(IOVA, 64, !0))?;
    ensure!(
        fault.reason == Some(FaultReason::UntaggedForbidden),
        "{fault:x?}"
    );
    own.expect(0, &[0; PAGE])?;
    tagged.expect(0, &[0; PAGE])?;
    plain.drain()?;

    plain.enable_untagged();
    plain.succeed(&fill(IOVA, 64, 0x1111_1111_1111_1111))?;
    with_pasid.succeed(&fill(IOVA, 64, 0x2222_2222_2222_2222))?;
    own.expect(0, &[0x11; 64])?;
    tagged.expect(0, &[0x22; 64])?;
    expect_blocked(
        plain,
        None,
        &fill(page(2), 64, 1),
        FaultSource::Destination,
        page(2),
    )?;

    // Neither disturbs the other.
    tagged.domain.detach(&c.root.function, 60)?;
    plain.succeed(&fill(IOVA, 64, 0x3333_3333_3333_3333))?;
    own.expect(0, &[0x33; 64])?;
    tagged.domain.attach(&c.root.function, 60)?;
    own.domain.detach(&c.root.function, NO_PASID)?;
    with_pasid.succeed(&fill(IOVA, 64, 0x4444_4444_4444_4444))?;
    tagged.expect(0, &[0x44; 64])?;
    own.expect(0, &[0x33; 64])?;
    plain.drain()?;
    with_pasid.drain()
}

/// A write with a PASID to the interrupt range is no interrupt (VT-d spec, 3.14).
pub fn interrupt_range(c: &mut Context) -> Result {
    let _space = c.space(70, 2)?;
    for address in [0xfee0_0000, 0xfeef_f000] {
        let failure = c.root.raw_write(Some(70), address, 0x41)?;
        ensure!(
            failure == Some(FaultReason::Blocked),
            "{address:#x}: {failure:?}"
        );
    }
    ensure!(c.root.raw_write(Some(70), IOVA, 0x41)?.is_none());
    Ok(())
}
