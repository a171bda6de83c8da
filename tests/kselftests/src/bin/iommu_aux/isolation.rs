// SPDX-License-Identifier: GPL-2.0

//! What a stream does not reach: each attempt faults, with the right device and PASID, and changes
//! no memory.

use crate::context::Context;
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::{prot, NO_PASID};
use siov_kselftests::siov_testdev::regs::FaultSource;
use siov_kselftests::siov_testdev::{copy, fill, Adi};
use siov_kselftests::space::{expect_blocked, page, Space, IOVA};
use siov_kselftests::PAGE;

/// Checks that `adi` cannot write to [`IOVA`] with `pasid`.
fn expect_no_write(adi: Adi<'_>, pasid: u32) -> Result {
    adi.enable(Some(pasid));
    let descriptor = fill(IOVA, 64, !0);
    expect_blocked(
        adi,
        Some(pasid),
        &descriptor,
        FaultSource::Destination,
        IOVA,
    )?;
    adi.drain()
}

fn expect_untouched(space: &Space) -> Result {
    space.expect(0, &[0; PAGE])
}

pub fn unmapped(c: &mut Context) -> Result {
    c.enabled(|c| {
        let (space, pasid) = c.attached(4)?;
        // A neighbour has pages where this one has none.
        let (neighbour, _) = c.attached(8)?;
        let adi = c.first.adi(0);
        adi.enable(Some(pasid));
        let data = space.fill(0, 1);

        let beyond = page(4);
        let source = copy(beyond, page(1), 64);
        expect_blocked(adi, Some(pasid), &source, FaultSource::Source, beyond)?;
        let destination = fill(beyond + 8, 64, !0);
        let at = beyond + 8;
        expect_blocked(adi, Some(pasid), &destination, FaultSource::Destination, at)?;
        neighbour.expect(4, &[0; PAGE])?;

        // Read-only, in use, and gone a moment later.
        space.domain.unmap(page(2), PAGE)?;
        let phys = space.buffer.phys;
        space.domain.map(page(2), phys, PAGE, prot::READ)?;
        adi.succeed(&copy(page(2), page(1), PAGE))?;
        space.expect(1, &data)?;
        let write = fill(page(2), 64, !0);
        expect_blocked(adi, Some(pasid), &write, FaultSource::Destination, page(2))?;
        space.expect(0, &data)?;
        space.domain.unmap(page(2), PAGE)?;
        let read = copy(page(2), page(1), 64);
        expect_blocked(adi, Some(pasid), &read, FaultSource::Source, page(2))?;
        adi.drain()
    })
}

pub fn unattached(c: &mut Context) -> Result {
    c.ktest.aux_enable(&c.second.function)?;
    c.enabled(|c| {
        let (space, pasid) = c.attached(1)?;
        let other = Space::new(&c.ktest, &c.second.function, 1)?;
        other.domain.aux_attach(&c.second.function)?;
        let other_pasid = other.domain.aux_id()?;
        // A PASID of nobody, and two that mean something to the other device only.
        expect_no_write(c.first.adi(0), 0xf_0000)?;
        expect_no_write(c.first.adi(1), other_pasid)?;
        expect_no_write(c.second.adi(0), pasid)?;
        expect_untouched(&space)?;
        expect_untouched(&other)?;

        // An interface that has another's PASID reaches what that PASID is for, and not its own.
        let (mine, _) = c.attached(1)?;
        let adi = c.first.adi(2);
        adi.enable(Some(pasid));
        adi.succeed(&fill(IOVA, 64, !0))?;
        expect_untouched(&mine)?;
        space.expect(0, &[0xff; 64])?;
        adi.drain()
    })?;
    c.ktest.aux_disable(&c.second.function)
}

pub fn after(c: &mut Context) -> Result {
    let (space, freed, pasids) = c.enabled(|c| {
        let (space, pasid) = c.attached(1)?;
        let (adi, other_adi) = (c.first.adi(0), c.first.adi(1));
        adi.enable(Some(pasid));
        adi.succeed(&fill(IOVA, 64, 0))?;
        space.domain.aux_detach(&c.first.function)?;
        expect_no_write(adi, pasid)?;
        expect_untouched(&space)?;

        // As good as before when it is attached again.
        space.domain.aux_attach(&c.first.function)?;
        adi.enable(Some(space.domain.aux_id()?));
        adi.succeed(&fill(IOVA, 64, 0))?;
        adi.drain()?;

        let (gone, gone_pasid) = c.attached(1)?;
        other_adi.enable(Some(gone_pasid));
        other_adi.succeed(&fill(IOVA, 64, 0))?;
        let freed = gone.buffer;
        drop(gone.domain);
        expect_no_write(other_adi, gone_pasid)?;
        ensure!(freed.memory.read(0, PAGE) == [0; PAGE]);
        space.domain.aux_detach(&c.first.function)?;
        Ok((space, freed, [pasid, gone_pasid]))
    })?;
    // Disabled.
    for pasid in pasids {
        expect_no_write(c.first.adi(0), pasid)?;
    }
    expect_untouched(&space)?;
    ensure!(freed.memory.read(0, PAGE) == [0; PAGE]);
    Ok(())
}

/// They go to the device's own domain whatever happens to the auxiliary ones.
pub fn untagged(c: &mut Context) -> Result {
    let own = c.space(2)?;
    own.domain.attach(&c.first.function, NO_PASID)?;
    let plain = c.first.adi(0);
    plain.enable_untagged();
    let mut pattern = 0;
    let mut expect_own = |own: &Space| -> Result {
        pattern += 1;
        plain.succeed(&fill(IOVA, 64, u64::from_le_bytes([pattern; 8])))?;
        own.expect(0, &[pattern; 64])
    };
    expect_own(&own)?;
    c.ktest.aux_enable(&c.first.function)?;
    expect_own(&own)?;
    let (space, pasid) = c.attached(2)?;
    expect_own(&own)?;
    let tagged = c.first.adi(1);
    tagged.enable(Some(pasid));
    tagged.succeed(&fill(IOVA, 64, 0x7777_7777_7777_7777))?;
    space.expect(0, &[0x77; 64])?;
    expect_own(&own)?;
    // The same domain in both modes on one device.
    own.domain.aux_attach(&c.first.function)?;
    let both = c.first.adi(2);
    both.enable(Some(own.domain.aux_id()?));
    both.succeed(&copy(page(0), page(1), 64))?;
    own.expect(1, &own.buffer.memory.read(0, 64))?;
    both.drain()?;
    own.domain.aux_detach(&c.first.function)?;
    expect_own(&own)?;
    tagged.drain()?;
    space.domain.aux_detach(&c.first.function)?;
    expect_own(&own)?;
    c.ktest.aux_disable(&c.first.function)?;
    expect_own(&own)?;
    space.expect(0, &[0x77; 64])?;
    plain.drain()
}
