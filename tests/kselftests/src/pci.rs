// SPDX-License-Identifier: GPL-2.0

//! PCI functions and their IOMMU groups, as sysfs shows them.

use crate::ktap::{skip, Result};
use crate::mmio::Mapping;
use crate::{poll, sysfs};
use anyhow::Context;
use std::fmt;
use std::fs;
use std::path::PathBuf;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Vendor and device id of a kind of device in a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// Its name in QEMU.
    pub name: &'static str,
    vendor: u16,
    device: u16,
}

/// QEMU's educational device.
pub const EDU: Kind = Kind {
    name: "edu",
    vendor: 0x1234,
    device: 0x11e8,
};

/// QEMU's NVMe controller.
pub const NVME: Kind = Kind {
    name: "nvme",
    vendor: 0x1b36,
    device: 0x0010,
};

/// QEMU's virtio RNG, with the old interface as well.
pub const VIRTIO_RNG: Kind = Kind {
    name: "virtio-rng-pci",
    vendor: 0x1af4,
    device: 0x1005,
};

/// QEMU's virtio GPU with a VGA framebuffer, which is memory of 8 MiB in BAR 0.
pub const VIRTIO_VGA: Kind = Kind {
    name: "virtio-vga",
    vendor: 0x1af4,
    device: 0x1050,
};

/// QEMU's virtio RNG, without the old interface, as it has to be to have ATS.
pub const VIRTIO_RNG_ATS: Kind = Kind {
    name: "virtio-rng-pci",
    vendor: 0x1af4,
    device: 0x1044,
};

/// Intel 82574L.
pub const E1000E: Kind = Kind {
    name: "e1000e",
    vendor: 0x8086,
    device: 0x10d3,
};

/// Intel 82576.
pub const IGB: Kind = Kind {
    name: "igb",
    vendor: 0x8086,
    device: 0x10c9,
};

/// The emulated SIOV device of `tools/qemu-siov-testdev`.
pub const SIOV_TESTDEV: Kind = Kind {
    name: "siov-testdev",
    vendor: siov_testdev_regs::pci::VENDOR_ID,
    device: siov_testdev_regs::pci::DEVICE_ID,
};

/// A PCI function.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Function {
    /// "0000:00:04.0"
    address: String,
}

impl Function {
    /// The function at an address like "0000:00:04.0".
    ///
    /// # Errors
    ///
    /// When it has not that form; the function need not exist.
    pub fn at(address: &str) -> Result<Self> {
        let function = Self {
            address: address.to_owned(),
        };
        function
            .parse()
            .with_context(|| format!("PCI address {address:?}"))?;
        Ok(function)
    }

    /// All functions of a kind, in the order of their addresses.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn all(kind: Kind) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(DEVICES).context(DEVICES)? {
            let name = entry?.file_name();
            let function = Self::at(&name.to_string_lossy())?;
            if function.number("vendor")? == kind.vendor
                && function.number("device")? == kind.device
            {
                found.push(function);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The first function of a kind.
    ///
    /// # Errors
    ///
    /// A skip when there is none.
    pub fn first(kind: Kind) -> Result<Self> {
        let mut all = Self::all(kind)?;
        if all.is_empty() {
            return Err(skip(format!("the guest has no {}", kind.name)));
        }
        Ok(all.swap_remove(0))
    }

    fn parse(&self) -> Result<(u32, u8, u8, u8)> {
        let mut parts = self.address.split([':', '.']);
        let mut next = || parts.next().context("too few parts");
        Ok((
            u32::from_str_radix(next()?, 16)?,
            u8::from_str_radix(next()?, 16)?,
            u8::from_str_radix(next()?, 16)?,
            u8::from_str_radix(next()?, 16)?,
        ))
    }

    /// "0000:00:04.0"
    pub fn address(&self) -> &str {
        &self.address
    }

    /// "00:04.0", as requester ids are written.
    pub fn requester(&self) -> &str {
        self.address.split_once(':').map_or("", |(_, rest)| rest)
    }

    /// Segment, bus, device and function in one number, 16, 8, 5 and 3 bits. Not for functions in
    /// a domain of a driver's making, whose number does not fit.
    pub fn id(&self) -> u32 {
        // Checked when the value was made.
        let (segment, bus, device, function) = self.parse().unwrap_or_default();
        (segment << 16)
            | (u32::from(bus) << 8)
            | (u32::from(device & 31) << 3)
            | u32::from(function & 7)
    }

    /// Its directory, or a file in it.
    pub fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("{DEVICES}/{}/{file}", self.address))
    }

    fn number(&self, file: &str) -> Result<u16> {
        let text = sysfs::read(self.path(file))?;
        Ok(u16::from_str_radix(text.trim_start_matches("0x"), 16)?)
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path("vendor").exists()
    }

    /// The driver that is bound to it.
    pub fn driver(&self) -> Option<String> {
        let link = fs::read_link(self.path("driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    /// Takes its driver away, if it has one.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn unbind(&self) -> Result {
        if self.driver().is_some() {
            sysfs::write(self.path("driver/unbind"), &self.address)?;
        }
        Ok(())
    }

    /// Binds the driver of this name and no other, in place of the one it has.
    ///
    /// # Errors
    ///
    /// Those of sysfs, or when the driver does not take it.
    pub fn bind(&self, driver: &str) -> Result {
        if self.driver().as_deref() == Some(driver) {
            return Ok(());
        }
        self.unbind()?;
        sysfs::write(self.path("driver_override"), driver)?;
        // A device that is being plugged in has its folder a moment before its bus knows it.
        poll::until_true(&format!("the bus knows {self}"), || {
            match sysfs::write("/sys/bus/pci/drivers_probe", &self.address) {
                Err(error) if sysfs::errno(&error) == Some(libc::ENODEV) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        // A driver may ask for its probe to run in the background (PROBE_PREFER_ASYNCHRONOUS).
        poll::until_true(&format!("{driver} binds {self}"), || {
            Ok(self.driver().as_deref() == Some(driver))
        })
    }

    /// Number of its IOMMU group; `None` when no IOMMU translates it.
    pub fn group(&self) -> Option<u32> {
        let link = fs::read_link(self.path("iommu_group")).ok()?;
        link.file_name()?.to_str()?.parse().ok()
    }

    /// Directory of its IOMMU group.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub fn group_path(&self) -> Result<PathBuf> {
        let group = self
            .group()
            .with_context(|| format!("{self} is in no IOMMU group"))?;
        Ok(PathBuf::from(format!("/sys/kernel/iommu_groups/{group}")))
    }

    /// Type of its group's default domain: "identity", "DMA" or "DMA-FQ".
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn domain_type(&self) -> Result<String> {
        sysfs::read(self.group_path()?.join("type"))
    }

    /// Changes the type of its group's default domain, as in `domain_type`.
    ///
    /// # Errors
    ///
    /// Those of sysfs: `EBUSY` while a driver is bound.
    pub fn set_domain_type(&self, kind: &str) -> Result {
        sysfs::write(self.group_path()?.join("type"), kind)?;
        let now = self.domain_type()?;
        anyhow::ensure!(
            now == kind,
            "{self} has domain type {now} after {kind} was written"
        );
        Ok(())
    }

    /// Removes it from the system, as if it had been pulled.
    ///
    /// # Errors
    ///
    /// Those of sysfs, or when it stays.
    pub fn remove(&self) -> Result {
        sysfs::write(self.path("remove"), "1")?;
        poll::until_true(&format!("{self} goes"), || Ok(!self.exists()))
    }

    /// Maps the registers of memory BAR `index`.
    ///
    /// # Errors
    ///
    /// Those of sysfs and mmap(2).
    pub fn map_bar(&self, index: u32) -> Result<Mapping> {
        let path = self.path(&format!("resource{index}"));
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        let len = usize::try_from(file.metadata()?.len())?;
        Mapping::of_file(&file, 0, len)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Looks for functions that have come.
///
/// # Errors
///
/// Those of sysfs.
pub fn rescan() -> Result {
    sysfs::write("/sys/bus/pci/rescan", "1")
}
