// SPDX-License-Identifier: GPL-2.0

//! Domain types, with the test module `mdev_ktest` as parent: a driver in C on
//! `include/linux/mdev.h`.

use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::kernel_module::{modprobe, unload};
use siov_kselftests::ktap::Result;
use siov_kselftests::mdev::{uuid, Mdev, Parent};
use siov_kselftests::sysfs;

const PARAMETERS: &str = "/sys/module/mdev_ktest/parameters";

struct Module {
    parent: Parent,
}

impl Module {
    fn load() -> Result<Self> {
        modprobe("mdev_ktest", "")?;
        Ok(Self {
            parent: Parent::find("mdev_ktest")?,
        })
    }

    fn create(&self, ty: &str, number: u32) -> Result<Mdev> {
        // A parent without a driver has no name before the hyphen.
        self.parent.create(&format!("-{ty}"), &uuid(number))
    }

    fn run(&self, test: &str, mdev: &Mdev) -> Result {
        sysfs::write(format!("{PARAMETERS}/{test}"), mdev.uuid())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // A failure shows in the next case, which finds the module in use.
        let _ = unload("mdev_ktest");
    }
}

pub fn set(_: &mut ()) -> Result {
    let module = Module::load()?;
    let plain = module.create("plain", 0)?;
    let attach = module.create("attach", 1)?;
    let back = module.create("back", 2)?;
    ensure!(
        plain.domain_type()? == "no-iommu",
        "{}",
        plain.domain_type()?
    );
    ensure!(
        attach.domain_type()? == "attach-parent",
        "{}",
        attach.domain_type()?
    );
    // Set, and set back again.
    ensure!(back.domain_type()? == "no-iommu", "{}", back.domain_type()?);

    let bad = module.create("unknown", 3);
    sysfs::expect_errno(bad, Errno::EINVAL, "an unknown type")?;
    let grouped = module.create("grouped", 4);
    sysfs::expect_errno(grouped, Errno::EBUSY, "a type set behind the IOMMU group")?;
    let late = module.run("late", &plain);
    sysfs::expect_errno(late, Errno::EBUSY, "a type set after creation")?;
    ensure!(
        plain.domain_type()? == "no-iommu",
        "{}",
        plain.domain_type()?
    );
    let written = sysfs::write(plain.path().join("domain_type"), "attach-parent");
    sysfs::expect_errno(written, Errno::EACCES, "writing domain_type")
}

pub fn strangers(_: &mut ()) -> Result {
    let module = Module::load()?;
    let plain = module.create("plain", 0)?;
    module.run("stranger", &plain)
}

pub fn domain(_: &mut ()) -> Result {
    let module = Module::load()?;
    let attach = module.create("attach", 0)?;
    module.run("domain", &attach)
}
