// SPDX-License-Identifier: GPL-2.0

//! The devices of the guest and what the cases have in common.

use anyhow::ensure;
use siov_kselftests::ktap::{expect_faults, Result};
use siov_kselftests::ktest::{prot, Buffer, Domain, Ktest};
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::regs::{FaultReason, FaultSource};
use siov_kselftests::siov_testdev::{Adi, Fault, SiovTestdev};
use siov_kselftests::PAGE;

/// The devices: on the root bus, and behind a root port.
pub struct Context {
    pub ktest: Ktest,
    pub root: SiovTestdev,
    pub behind_port: Option<SiovTestdev>,
    /// Whether the devices use ATS.
    pub ats: bool,
}

/// Where most cases map something.
pub const IOVA: u64 = 5 << 30;

/// Address of a page from [`IOVA`] on.
pub fn page(index: usize) -> u64 {
    IOVA + (index * PAGE) as u64
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

    /// A domain with `pages` fresh pages from [`IOVA`] on, readable and writable, attached to `pasid` of
    /// the first device.
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

/// A domain and what it maps. The domain goes first: until then devices reach the pages.
pub struct Space {
    pub domain: Domain,
    pub buffer: Buffer,
}

impl Space {
    /// A domain for `function`, which the driver iommu_ktest has, with fresh pages from [`IOVA`] on.
    pub fn new(ktest: &Ktest, function: &Function, pages: u32) -> Result<Self> {
        let order = pages.next_power_of_two().trailing_zeros();
        let buffer = ktest.buffer(order)?;
        let domain = ktest.domain(function)?;
        domain.map(IOVA, buffer.phys, pages as usize * PAGE, prot::BOTH)?;
        Ok(Self { domain, buffer })
    }

    /// Fills page `index` with data of its own.
    pub fn fill(&self, index: usize, seed: u64) -> Vec<u8> {
        let data = bytes(PAGE, seed);
        self.buffer.memory.write(index * PAGE, &data);
        data
    }

    /// Checks a page.
    pub fn expect(&self, index: usize, data: &[u8]) -> Result {
        let found = self.buffer.memory.read(index * PAGE, data.len());
        expect_equal(&format!("page {index}"), &found, data)
    }
}

/// Checks that a descriptor was blocked by the IOMMU, at an address, for what.
pub fn expect_blocked(
    adi: Adi<'_>,
    pasid: Option<u32>,
    descriptor: &siov_kselftests::siov_testdev::regs::Descriptor,
    source: FaultSource,
    address: u64,
) -> Result {
    expect_faults(1);
    let expected = Fault {
        reason: Some(FaultReason::Blocked),
        source: Some(source),
        write: matches!(source, FaultSource::Destination | FaultSource::Completion),
        pasid,
        address,
    };
    let found = adi.fault(descriptor)?;
    ensure!(
        found == expected,
        "ADI {}: {found:x?} in place of {expected:x?}",
        adi.index()
    );
    Ok(())
}
