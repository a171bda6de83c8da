// SPDX-License-Identifier: GPL-2.0

//! Mediated devices in sysfs (the kernel's `Documentation/ABI/testing/sysfs-bus-vfio-mdev`).

use crate::ktap::Result;
use crate::sysfs;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Where all mediated devices are listed.
pub const BUS: &str = "/sys/bus/mdev/devices";

/// The UUID that stands for this number in a test.
pub fn uuid(number: u32) -> String {
    format!("83b8f4f2-509f-382f-3c1e-e6bf{number:08x}")
}

/// A parent that is registered.
#[derive(Clone, Debug)]
pub struct Parent {
    path: PathBuf,
}

impl Parent {
    /// The parent that `/sys/class/mdev_bus/` calls `name`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn find(name: &str) -> Result<Self> {
        let link = Path::new("/sys/class/mdev_bus").join(name);
        let path = fs::canonicalize(&link).with_context(|| link.display().to_string())?;
        Ok(Self { path })
    }

    /// Where it is in sysfs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of its types, sorted.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn types(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path.join("mdev_supported_types"))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The folder of a type.
    pub fn type_path(&self, name: &str) -> PathBuf {
        self.path.join("mdev_supported_types").join(name)
    }

    /// How many more devices of a type there can be.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn available(&self, name: &str) -> Result<u32> {
        let file = self.type_path(name).join("available_instances");
        Ok(sysfs::read(file)?.parse()?)
    }

    /// Makes a device of type `name`.
    ///
    /// # Errors
    ///
    /// Those of the core and the parent's driver.
    pub fn create(&self, name: &str, uuid: &str) -> Result<Mdev> {
        sysfs::write(self.type_path(name).join("create"), uuid)?;
        Ok(Mdev {
            uuid: uuid.to_owned(),
        })
    }
}

/// A mediated device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mdev {
    uuid: String,
}

impl Mdev {
    /// The device with this UUID.
    pub fn named(uuid: &str) -> Self {
        Self {
            uuid: uuid.to_owned(),
        }
    }

    /// Its name.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Where it is in sysfs.
    pub fn path(&self) -> PathBuf {
        Path::new(BUS).join(&self.uuid)
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// Those of the core.
    pub fn remove(&self) -> Result {
        sysfs::write(self.path().join("remove"), "1")
    }

    /// Who isolates its DMA.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn domain_type(&self) -> Result<String> {
        sysfs::read(self.path().join("domain_type"))
    }

    /// The number of its IOMMU group.
    ///
    /// # Errors
    ///
    /// Those of sysfs: it has none without a VFIO driver.
    pub fn group(&self) -> Result<u32> {
        let link = fs::read_link(self.path().join("iommu_group"))
            .with_context(|| format!("iommu_group of {}", self.uuid))?;
        let name = link.file_name().context("a link to nothing")?;
        Ok(name.to_string_lossy().parse()?)
    }
}
