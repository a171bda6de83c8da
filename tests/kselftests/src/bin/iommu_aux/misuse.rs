// SPDX-License-Identifier: GPL-2.0

//! What the functions refuse.

use crate::context::Context;
use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_console, Result};
use siov_kselftests::ktest::Misuse;
use siov_kselftests::sysfs::expect_errno;

pub fn none(c: &mut Context) -> Result {
    expect_console("iommu_aux: detach: no domain or no device");
    expect_console("iommu_aux: fault handler: no domain");
    let mut log = KernelLog::from_now()?;
    c.enabled(|c| {
        let (space, id) = c.attached(1)?;
        for errno_pointer in [false, true] {
            let misuse = |what| {
                space
                    .domain
                    .aux_misuse(&c.first.function, what, errno_pointer)
            };
            for what in [
                Misuse::Capable,
                Misuse::Enable,
                Misuse::Disable,
                Misuse::AttachDomain,
                Misuse::AttachDevice,
                Misuse::Id,
                Misuse::RegisterDomain,
                Misuse::RegisterDevice,
            ] {
                expect_errno(misuse(what), Errno::EINVAL, &format!("{what:?}"))?;
            }
            misuse(Misuse::DetachDomain)?;
            misuse(Misuse::DetachDevice)?;
            misuse(Misuse::Unregister)?;
        }
        expect_errno(
            space
                .domain
                .aux_misuse(&c.first.function, Misuse::RegisterHandler, false),
            Errno::EINVAL,
            "RegisterHandler",
        )?;
        ensure!(space.domain.aux_id()? == id);
        Ok(())
    })?;
    let said = log.count(&["iommu_aux: detach: no domain or no device"])?;
    ensure!(said == 4, "{said} lines about detach");
    let said = log.count(&["iommu_aux: fault handler: no domain"])?;
    ensure!(said == 2, "{said} lines about fault handlers");
    Ok(())
}

/// A pair that is not attached is named in the log, too.
pub fn strange(c: &mut Context) -> Result {
    expect_console("detach: this domain is not attached");
    let mut log = KernelLog::from_now()?;
    c.enabled(|c| {
        let space = c.space(1)?;
        let misuse = |what| space.domain.aux_misuse(&c.first.function, what, false);
        expect_errno(
            misuse(Misuse::AttachForeign),
            Errno::EINVAL,
            "a domain of another driver",
        )?;
        expect_errno(
            misuse(Misuse::AttachNoPasid),
            Errno::EOPNOTSUPP,
            "a domain without set_dev_pasid",
        )?;
        expect_errno(
            misuse(Misuse::AttachNotPaging),
            Errno::EINVAL,
            "an identity domain",
        )?;
        // Nothing is left of them.
        expect_errno(space.domain.aux_id(), Errno::ENODEV, "an id")?;
        space.domain.aux_detach(&c.first.function)
    })?;
    let address = c.first.function.address();
    let words = [address, "detach: this domain is not attached"];
    ensure!(log.count(&words)? == 1, "no line about the detach");
    Ok(())
}

/// The core's other callers do not ask for ids: they may sit on one that we are given.
pub fn taken(c: &mut Context) -> Result {
    c.enabled(|c| {
        let (space, id) = c.attached(1)?;
        space.domain.aux_detach(&c.first.function)?;
        let squatter = c.space(1)?;
        squatter.domain.attach(&c.first.function, id)?;
        expect_errno(
            space.domain.aux_attach(&c.first.function),
            Errno::EBUSY,
            "a PASID with two domains",
        )?;
        expect_errno(space.domain.aux_id(), Errno::ENODEV, "an id")?;
        squatter.domain.detach(&c.first.function, id)?;
        space.domain.aux_attach(&c.first.function)?;
        ensure!(space.domain.aux_id()? == id, "the id was lost");
        Ok(())
    })
}
