// SPDX-License-Identifier: GPL-2.0

//! The devices of the guest.

use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::pci::{Function, EDU, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::SiovTestdev;
use siov_kselftests::space::Space;

/// Two devices with PASIDs, and one without.
pub struct Context {
    pub ktest: Ktest,
    pub first: SiovTestdev,
    pub second: SiovTestdev,
    pub plain: Function,
    /// Whether the IOMMU's driver tells of faults.
    pub tells_faults: bool,
}

impl Context {
    pub fn new() -> Result<Self> {
        let ktest = Ktest::open()?;
        let mut devices = Vec::new();
        for function in Function::all(SIOV_TESTDEV)? {
            ktest.take(&function)?;
            devices.push(SiovTestdev::new(function)?);
        }
        let (Some(second), Some(first)) = (devices.pop(), devices.pop()) else {
            anyhow::bail!("the guest has no two siov-testdev");
        };
        let plain = Function::first(EDU)?;
        ktest.take(&plain)?;
        Ok(Self {
            ktest,
            first,
            second,
            plain,
            tells_faults: std::env::args().any(|argument| argument == "vtd"),
        })
    }

    /// A domain for the first device with `pages` fresh pages.
    pub fn space(&self, pages: u32) -> Result<Space> {
        Space::new(&self.ktest, &self.first.function, pages)
    }

    /// The same, attached in auxiliary mode to the first device, which is enabled, with its PASID.
    pub fn attached(&self, pages: u32) -> Result<(Space, u32)> {
        let space = self.space(pages)?;
        space.domain.aux_attach(&self.first.function)?;
        let pasid = space.domain.aux_id()?;
        Ok((space, pasid))
    }

    /// Runs `f` with the first device enabled.
    pub fn enabled<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.ktest.aux_enable(&self.first.function)?;
        let result = f(self)?;
        self.ktest.aux_disable(&self.first.function)?;
        Ok(result)
    }
}
