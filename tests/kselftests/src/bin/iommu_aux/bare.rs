// SPDX-License-Identifier: GPL-2.0

//! A machine whose devices cannot have auxiliary domains: no IOMMU, or one that takes no PASIDs.

use nix::errno::Errno;
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::pci::{Function, EDU, SIOV_TESTDEV};
use siov_kselftests::sysfs::expect_errno;

pub struct Context {
    ktest: Ktest,
    functions: Vec<Function>,
}

impl Context {
    pub fn new() -> Result<Self> {
        let ktest = Ktest::open()?;
        let mut functions = Function::all(SIOV_TESTDEV)?;
        functions.push(Function::first(EDU)?);
        for function in &functions {
            ktest.bind(function)?;
        }
        Ok(Self { ktest, functions })
    }
}

pub fn incapable(c: &mut Context) -> Result {
    anyhow::ensure!(c.functions.len() == 3);
    for function in &c.functions {
        anyhow::ensure!(!c.ktest.aux_capable(function)?, "{function} is capable");
        expect_errno(
            c.ktest.aux_enable(function),
            Errno::EOPNOTSUPP,
            &format!("{function} enabled"),
        )?;
        expect_errno(
            c.ktest.aux_disable(function),
            Errno::ENODEV,
            &format!("{function} disabled"),
        )?;
    }
    Ok(())
}
