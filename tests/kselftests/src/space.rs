// SPDX-License-Identifier: GPL-2.0

//! Domains of siov-testdev's PASIDs, with memory of their own.

use crate::ktap::{expect_faults, Result};
use crate::ktest::{prot, Buffer, Domain, Ktest};
use crate::pattern::{bytes, expect_equal};
use crate::pci::Function;
use crate::siov_testdev::regs::{Descriptor, FaultReason, FaultSource};
use crate::siov_testdev::{Adi, Fault};
use crate::PAGE;
use anyhow::ensure;

/// Where most cases map something.
pub const IOVA: u64 = 5 << 30;

/// Address of a page from [`IOVA`] on.
pub fn page(index: usize) -> u64 {
    IOVA + (index * PAGE) as u64
}

/// A domain and what it maps. The domain goes first: until then devices reach the pages.
pub struct Space {
    /// The domain.
    pub domain: Domain,
    /// The pages.
    pub buffer: Buffer,
}

impl Space {
    /// A domain for `function`, which the driver iommu_ktest has, with fresh pages from [`IOVA`]
    /// on.
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
    descriptor: &Descriptor,
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
