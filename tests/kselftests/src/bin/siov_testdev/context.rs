// SPDX-License-Identifier: GPL-2.0

//! The devices of the guest and what the cases have in common.

use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::SiovTestdev;
use siov_kselftests::space::Space;

/// The devices: on the root bus, and behind a root port.
pub struct Context {
    pub ktest: Ktest,
    pub root: SiovTestdev,
    pub behind_port: Option<SiovTestdev>,
    /// Whether the devices use ATS.
    pub ats: bool,
}

impl Context {
    /// `--ats` on the command line says that the devices must use ATS.
    pub fn new() -> Result<Self> {
        let ktest = Ktest::open()?;
        let mut devices = Vec::new();
        for function in Function::all(SIOV_TESTDEV)? {
            ktest.take(&function)?;
            devices.push(SiovTestdev::new(function)?);
        }
        devices.reverse();
        let (Some(root), behind_port) = (devices.pop(), devices.pop()) else {
            anyhow::bail!("the guest has no siov-testdev");
        };
        Ok(Self {
            ktest,
            root,
            behind_port,
            ats: std::env::args().any(|argument| argument == "--ats"),
        })
    }

    /// A domain with `pages` fresh pages from `IOVA` on, readable and writable, attached to `pasid`
    /// of the first device.
    pub fn space(&self, pasid: u32, pages: u32) -> Result<Space> {
        let space = self.detached_space(pages)?;
        space.domain.attach(&self.root.function, pasid)?;
        Ok(space)
    }

    /// The same without an attachment.
    pub fn detached_space(&self, pages: u32) -> Result<Space> {
        Space::new(&self.ktest, &self.root.function, pages)
    }
}
