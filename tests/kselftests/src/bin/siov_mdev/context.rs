// SPDX-License-Identifier: GPL-2.0

//! The parent, and a user with memory.

use anyhow::Context as _;
use siov_kselftests::adi::UserAdi;
use siov_kselftests::kernel_module::modprobe;
use siov_kselftests::ktap::Result;
use siov_kselftests::mdev::{uuid, Mdev, Parent};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::bytes;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::PAGE;

/// The type whose DMA the IOMMU isolates.
pub const ADI: &str = "siov_testdev-adi";

/// The type whose work is done in software.
pub const MEDIATED: &str = "siov_testdev-mediated";

/// Where the memory of a [`User`] is mapped.
pub const IOVA: u64 = 0x10_0000;

/// Address of page `index` of it.
pub fn page(index: usize) -> u64 {
    IOVA + (index * PAGE) as u64
}

pub struct Context {
    pub function: Function,
    pub parent: Parent,
    next: u32,
}

impl Context {
    pub fn new() -> Result<Self> {
        modprobe("siov_testdev", "")?;
        let function = Function::all(SIOV_TESTDEV)?.pop();
        let function = function.context("the guest has no siov-testdev")?;
        Ok(Self {
            parent: Parent::find(function.address())?,
            function,
            next: 0,
        })
    }

    /// A new ADI.
    pub fn create(&mut self) -> Result<Owned> {
        self.create_as(ADI)
    }

    /// A new device of this type.
    pub fn create_as(&mut self, ty: &str) -> Result<Owned> {
        self.next += 1;
        self.parent.create(ty, &uuid(self.next)).map(Owned)
    }
}

/// A device that is removed with this value, unless it has gone.
pub struct Owned(pub Mdev);

impl Drop for Owned {
    fn drop(&mut self) {
        if self.0.exists() {
            // What fails to go is missed by the case that counts.
            let _ = self.0.remove();
        }
    }
}

/// A user of one ADI: a container, and memory of [`PAGES`] pages at [`IOVA`]. The device goes first.
pub struct User {
    pub adi: UserAdi,
    pub memory: Mapping,
    pub container: Container,
}

pub const PAGES: usize = 16;

impl User {
    pub fn new(mdev: &Mdev) -> Result<Self> {
        let mut container = Container::new()?;
        let adi = UserAdi::open(&mut container, mdev)?;
        let memory = Mapping::memory(PAGES * PAGE)?;
        container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
        Ok(Self {
            adi,
            memory,
            container,
        })
    }

    /// Puts data that `seed` tells apart into a page.
    pub fn put(&self, index: usize, seed: u64) -> Vec<u8> {
        let data = bytes(PAGE, seed);
        self.memory.write(index * PAGE, &data);
        data
    }

    pub fn get(&self, index: usize) -> Vec<u8> {
        self.memory.read(index * PAGE, PAGE)
    }
}
