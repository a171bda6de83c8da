// SPDX-License-Identifier: GPL-2.0

//! The parent driver siov_testdev: its mediated devices, and a user of one with memory.

use crate::adi::UserAdi;
use crate::kernel_module::modprobe;
use crate::ktap::Result;
use crate::mdev::{uuid, Mdev, Parent};
use crate::mmio::Mapping;
use crate::pattern::bytes;
use crate::pci::{Function, SIOV_TESTDEV};
use crate::vfio::{Access, Container};
use crate::PAGE;
use anyhow::Context as _;

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

/// The first siov-testdev of the guest, with its driver.
#[derive(Debug)]
pub struct AdiParent {
    /// The device.
    pub function: Function,
    /// What it is in sysfs.
    pub parent: Parent,
    next: u32,
}

impl AdiParent {
    /// Loads the driver.
    ///
    /// # Errors
    ///
    /// Those of modprobe, or when there is no device.
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
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn create(&mut self) -> Result<Owned> {
        self.create_as(ADI)
    }

    /// A new device of this type.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn create_as(&mut self, ty: &str) -> Result<Owned> {
        self.next += 1;
        self.parent.create(ty, &uuid(self.next)).map(Owned)
    }
}

/// A device that is removed with this value, unless it has gone.
#[derive(Debug)]
pub struct Owned(pub Mdev);

impl Drop for Owned {
    fn drop(&mut self) {
        if self.0.exists() {
            // What fails to go is missed by the case that counts.
            let _ = self.0.remove();
        }
    }
}

/// Pages of a [`User`].
pub const PAGES: usize = 16;

/// A user of one ADI: a container, and memory of [`PAGES`] pages at [`IOVA`]. The device goes
/// first.
#[derive(Debug)]
pub struct User {
    /// The device.
    pub adi: UserAdi,
    /// The memory.
    pub memory: Mapping,
    /// The address space.
    pub container: Container,
}

impl User {
    /// Opens `mdev` in a container of its own.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
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

    /// What a page holds.
    pub fn get(&self, index: usize) -> Vec<u8> {
        self.memory.read(index * PAGE, PAGE)
    }
}
