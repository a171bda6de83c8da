// SPDX-License-Identifier: GPL-2.0

//! A device with few PASIDs.

use crate::context::Context;
use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::ktap::{note, Result};
use siov_kselftests::siov_testdev::copy;
use siov_kselftests::space::page;
use siov_kselftests::sysfs::{errno, expect_errno};
use siov_kselftests::PAGE;

/// A PASID that is beyond what one device has is refused there, and stays good elsewhere.
pub fn exhausted(c: &mut Context) -> Result {
    c.ktest.aux_enable(&c.second.function)?;
    c.enabled(|c| {
        let mut spaces = Vec::new();
        let refused = loop {
            match c.attached(2) {
                Ok(space) => spaces.push(space),
                Err(error) => break error,
            }
            ensure!(spaces.len() < 1 << 12, "no end of PASIDs");
        };
        note(format!("{} PASIDs", spaces.len()));
        ensure!(errno(&refused) == Some(Errno::ENOSPC as i32), "{refused:#}");
        let greatest = spaces.iter().map(|(_, pasid)| *pasid).max();
        ensure!(greatest == Some(spaces.len() as u32), "{greatest:?}");

        // All of them work; one more is had when one goes.
        for (index, (space, pasid)) in spaces.iter().enumerate() {
            let adi = c.first.adi(index as u32 % c.first.adis());
            adi.enable(Some(*pasid));
            let data = space.fill(0, index as u64);
            adi.succeed(&copy(page(0), page(1), PAGE))?;
            space.expect(1, &data)?;
            adi.drain()?;
        }
        let (_, freed) = spaces.swap_remove(3);
        let (space, pasid) = c.attached(2)?;
        ensure!(pasid == freed, "{pasid} in place of {freed}");

        // The second device has more PASIDs.
        let many = c.ktest.domain(&c.second.function)?;
        many.aux_attach(&c.second.function)?;
        ensure!(many.aux_id()? > spaces.len() as u32);
        expect_errno(
            many.aux_attach(&c.first.function),
            Errno::EINVAL,
            "a PASID that the device does not have",
        )?;
        ensure!(many.aux_id()? > spaces.len() as u32);
        drop(space);
        Ok(())
    })?;
    c.ktest.aux_disable(&c.second.function)
}
