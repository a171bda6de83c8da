// SPDX-License-Identifier: GPL-2.0

//! Enabling, attaching, ids and counts.

use crate::context::Context;
use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::ktap::{expect_console, Result};
use siov_kselftests::siov_testdev::fill;
use siov_kselftests::space::IOVA;
use siov_kselftests::sysfs::expect_errno;
use std::thread;

/// Also for the device without PASIDs, for which the core would report a success that it is not.
pub fn capability(c: &mut Context) -> Result {
    ensure!(c.ktest.aux_capable(&c.first.function)?);
    ensure!(c.ktest.aux_capable(&c.second.function)?);
    ensure!(!c.ktest.aux_capable(&c.plain)?);
    expect_errno(
        c.ktest.aux_enable(&c.plain),
        Errno::EOPNOTSUPP,
        "a device without PASIDs is enabled",
    )
}

pub fn enable(c: &mut Context) -> Result {
    let function = c.first.function.clone();
    let disable = |what| expect_errno(c.ktest.aux_disable(&function), Errno::ENODEV, what);
    disable("disabled and not enabled")?;
    c.ktest.aux_enable(&function)?;
    expect_errno(c.ktest.aux_enable(&function), Errno::EBUSY, "enabled twice")?;

    let (space, _) = c.attached(1)?;
    let (other, _) = c.attached(1)?;
    let busy = || {
        expect_errno(
            c.ktest.aux_disable(&function),
            Errno::EBUSY,
            "disabled with a domain attached",
        )
    };
    busy()?;
    space.domain.aux_detach(&function)?;
    busy()?;
    other.domain.aux_detach(&function)?;
    c.ktest.aux_disable(&function)?;
    disable("disabled twice")?;

    for _ in 0..3 {
        c.ktest.aux_enable(&function)?;
        c.ktest.aux_disable(&function)?;
    }
    Ok(())
}

pub fn before_enable(c: &mut Context) -> Result {
    let space = c.space(1)?;
    let refused = |what| {
        expect_errno(
            space.domain.aux_attach(&c.first.function),
            Errno::ENODEV,
            what,
        )
    };
    refused("attached before the device was enabled")?;
    c.ktest.aux_enable(&c.second.function)?;
    refused("attached because another device was enabled")?;
    c.ktest.aux_disable(&c.second.function)?;
    expect_errno(
        space.domain.aux_id(),
        Errno::ENODEV,
        "an id without attachment",
    )
}

pub fn counted(c: &mut Context) -> Result {
    c.enabled(|c| {
        let function = &c.first.function;
        let (space, id) = c.attached(1)?;
        let (other, other_id) = c.attached(1)?;
        ensure!(id > 0 && other_id > 0 && id != other_id, "{id}, {other_id}");

        space.domain.aux_attach(function)?;
        space.domain.aux_attach(function)?;
        for _ in 0..2 {
            space.domain.aux_detach(function)?;
            ensure!(space.domain.aux_id()? == id);
        }
        space.domain.aux_detach(function)?;
        expect_errno(
            space.domain.aux_id(),
            Errno::ENODEV,
            "an id after the last detach",
        )?;
        ensure!(other.domain.aux_id()? == other_id);

        // Once more than attached: refused, with a line in the log.
        expect_console("detach: this domain is not attached");
        space.domain.aux_detach(function)?;
        space.domain.aux_attach(function)?;
        space.domain.aux_id()?;
        drop((space, other));
        Ok(())
    })
}

pub fn two_devices(c: &mut Context) -> Result {
    c.ktest.aux_enable(&c.second.function)?;
    c.enabled(|c| {
        let (space, id) = c.attached(1)?;
        space.domain.aux_attach(&c.second.function)?;
        ensure!(space.domain.aux_id()? == id);
        for (number, device) in [&c.first, &c.second].into_iter().enumerate() {
            let adi = device.adi(0);
            adi.enable(Some(id));
            adi.succeed(&fill(IOVA, 8, number as u64))?;
            space.expect(0, &[number as u8])?;
            adi.drain()?;
        }
        // The id stays as long as one of them has the domain.
        space.domain.aux_detach(&c.first.function)?;
        ensure!(space.domain.aux_id()? == id);
        let adi = c.second.adi(0);
        adi.enable(Some(id));
        adi.succeed(&fill(IOVA, 8, 2))?;
        adi.drain()?;
        let (_other, other_id) = c.attached(1)?;
        ensure!(other_id != id, "{id} has two domains");
        space.domain.aux_detach(&c.second.function)?;
        expect_errno(
            space.domain.aux_id(),
            Errno::ENODEV,
            "an id after the last detach",
        )
    })?;
    c.ktest.aux_disable(&c.second.function)
}

/// Ids are never shared, whatever the other thread does.
pub fn two_threads(c: &mut Context) -> Result {
    const ROUNDS: u32 = 500;
    c.enabled(|c| {
        let work = || -> Result {
            let domains = [c.space(1)?, c.space(1)?];
            for round in 0..ROUNDS {
                for space in &domains {
                    space.domain.aux_attach(&c.first.function)?;
                    if round % 2 == 0 {
                        space.domain.aux_attach(&c.first.function)?;
                    }
                }
                let ids = (domains[0].domain.aux_id()?, domains[1].domain.aux_id()?);
                ensure!(ids.0 != ids.1, "round {round}: {ids:?}");
                for space in &domains {
                    space.domain.aux_detach(&c.first.function)?;
                    if round % 2 == 0 {
                        space.domain.aux_detach(&c.first.function)?;
                    }
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let other = scope.spawn(work);
            work()?;
            other
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        })
    })
}
