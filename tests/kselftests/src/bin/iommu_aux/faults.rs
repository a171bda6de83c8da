// SPDX-License-Identifier: GPL-2.0

//! Whoever attached a domain is told of its blocked requests.

use crate::context::Context;
use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::faults::expect;
use siov_kselftests::ktap::{expect_faults, Result};
use siov_kselftests::ktest::{AuxFault, Domain};
use siov_kselftests::siov_testdev::regs::Descriptor;
use siov_kselftests::siov_testdev::{copy, fill, Adi};
use siov_kselftests::space::{page, IOVA};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::{poll, PAGE};

const WRITE: u32 = 1 << 0;
const PASID: u32 = 1 << 3;

pub fn handlers(c: &mut Context) -> Result {
    c.enabled(|c| {
        let function = &c.first.function;
        let (space, pasid) = c.attached(1)?;
        let (quiet, quiet_pasid) = c.attached(1)?;
        if !c.tells_faults {
            return expect_errno(
                space.domain.aux_listen(function),
                Errno::EOPNOTSUPP,
                "listening to a driver that tells nobody",
            );
        }
        space.domain.aux_listen(function)?;
        quiet.domain.aux_listen(function)?;
        expect_errno(
            space.domain.aux_listen(function),
            Errno::EEXIST,
            "a handler registered twice",
        )?;
        expect_errno(
            space.domain.aux_listen(&c.second.function),
            Errno::ENODEV,
            "a handler for a device that the domain is not attached to",
        )?;

        let told = |domain: &Domain, count| {
            poll::until("the handler is called", || {
                let fault = domain.aux_faults(function)?;
                Ok((fault.count >= count).then_some(fault))
            })
        };
        // The unit drops faults of a function that has one which the driver has not seen yet.
        let fault = |adi: Adi<'_>, descriptor: Descriptor| {
            expect_faults(1);
            expect(function, 1, || adi.fault(&descriptor).map(drop))
        };
        let adi = c.first.adi(0);
        adi.enable(Some(pasid));
        fault(adi, fill(page(1) + 16, 64, !0))?;
        let first = told(&space.domain, 1)?;
        let expected = AuxFault {
            count: 1,
            source: function.id(),
            pasid,
            addr: page(1),
            flags: WRITE | PASID,
            reason: first.reason,
        };
        ensure!(first == expected, "{first:x?} in place of {expected:x?}");
        ensure!(first.reason != 0);
        fault(adi, copy(page(2), IOVA, PAGE))?;
        let second = told(&space.domain, 2)?;
        ensure!(
            (second.count, second.addr, second.flags) == (2, page(2), PASID),
            "{second:x?}"
        );
        adi.drain()?;

        // Each is told of its own.
        ensure!(quiet.domain.aux_faults(function)?.count == 0);
        adi.enable(Some(quiet_pasid));
        fault(adi, fill(page(1), 8, 0))?;
        told(&quiet.domain, 1)?;
        ensure!(space.domain.aux_faults(function)?.count == 2);
        adi.drain()?;

        // Nobody is told any more; the one that is left shows that the fault has been passed on.
        quiet.domain.aux_unlisten(function)?;
        quiet.domain.aux_listen(function)?;
        space.domain.aux_unlisten(function)?;
        adi.enable(Some(quiet_pasid));
        fault(adi, fill(page(1), 8, 0))?;
        ensure!(told(&quiet.domain, 1)?.count == 1);
        adi.drain()?;

        // Handlers go with the last attachment, and do not come back with the next one.
        quiet.domain.aux_detach(function)?;
        quiet.domain.aux_attach(function)?;
        let again = quiet.domain.aux_id()?;
        space.domain.aux_listen(function)?;
        adi.enable(Some(again));
        fault(adi, fill(page(1), 8, 0))?;
        adi.drain()?;
        adi.enable(Some(pasid));
        fault(adi, fill(page(1), 8, 0))?;
        ensure!(told(&space.domain, 1)?.count == 1);
        ensure!(quiet.domain.aux_faults(function)?.count == 1);
        adi.drain()
    })
}
