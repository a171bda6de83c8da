// SPDX-License-Identifier: GPL-2.0

//! The kernel's sample driver mtty, unchanged, as an operator uses it.

use crate::{load_samples, unload_samples};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::ktap::Result;
use siov_kselftests::mdev::{uuid, Parent};
use siov_kselftests::sysfs;
use siov_kselftests::vfio::Container;
use std::fs;
use std::process::Command;

/// Offsets of a 16550A's registers.
const DATA: u64 = 0;
const LINE_STATUS: u64 = 5;
/// A byte has been received.
const DATA_READY: u8 = 1;

/// The steps of samples/vfio-mdev/README.rst, with this program in the place of QEMU and a
/// terminal; the suite `mtty-qemu` has those.
pub fn readme(_: &mut ()) -> Result {
    load_samples()?;
    let parent = Parent::find("mtty")?;
    ensure!(
        parent.types()? == ["mtty-1", "mtty-2"],
        "{:?}",
        parent.types()?
    );
    let device_api = sysfs::read(parent.type_path("mtty-2").join("device_api"))?;
    ensure!(device_api == "vfio-pci", "{device_api}");

    let mdev = parent.create("mtty-2", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001")?;
    let driver = fs::read_link(mdev.path().join("driver"))?;
    ensure!(driver.ends_with("mtty"), "{}", driver.display());
    {
        let mut container = Container::new()?;
        let device = container.add_mdev(&mdev)?;
        // Both ports loop back what they are sent.
        for port in 0..2 {
            for byte in *b"SIOV" {
                device.write(port, DATA, &[byte])?;
                let mut status = [0];
                device.read(port, LINE_STATUS, &mut status)?;
                ensure!(
                    status[0] & DATA_READY != 0,
                    "port {port} says {status:02x?}"
                );
                let mut back = [0];
                device.read(port, DATA, &mut back)?;
                ensure!(
                    back == [byte],
                    "port {port}: {byte:#x} came back as {back:02x?}"
                );
            }
        }
        // The driver of an open device stays.
        let result = siov_kselftests::kernel_module::unload("mtty");
        sysfs::expect_errno(result, Errno::EWOULDBLOCK, "unloading mtty")?;
    }
    mdev.remove()?;
    ensure!(!mdev.exists(), "it stays");
    unload_samples()
}

fn mdevctl_run(arguments: &[&str]) -> Result<String> {
    let output = Command::new("mdevctl")
        .args(arguments)
        .output()
        .context("mdevctl")?;
    ensure!(
        output.status.success(),
        "mdevctl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Debian's mdevctl.
pub fn mdevctl(_: &mut ()) -> Result {
    load_samples()?;
    // What the package has besides the program.
    for path in [
        "/etc/mdevctl.d",
        "/usr/lib/mdevctl/scripts.d/callouts",
        "/usr/lib/mdevctl/scripts.d/notifiers",
    ] {
        fs::create_dir_all(path)?;
    }
    let parent = Parent::find("mtty")?;
    let name = uuid(1);
    let types = mdevctl_run(&["types"])?;
    for word in [
        "mtty",
        "mtty-1",
        "mtty-2",
        "Available instances: 24",
        "Device API: vfio-pci",
    ] {
        ensure!(types.contains(word), "no {word:?} in {types}");
    }
    mdevctl_run(&["define", "-u", &name, "-p", "mtty", "-t", "mtty-2"])?;
    let defined = mdevctl_run(&["list", "-d"])?;
    ensure!(defined.contains(&name), "{defined}");
    ensure!(
        mdevctl_run(&["list"])?.trim().is_empty(),
        "started too early"
    );

    mdevctl_run(&["start", "-u", &name])?;
    let list = mdevctl_run(&["list"])?;
    ensure!(
        list.contains(&name) && list.contains("mtty mtty-2"),
        "{list}"
    );
    ensure!(
        parent.available("mtty-2")? == 11,
        "{}",
        parent.available("mtty-2")?
    );

    mdevctl_run(&["stop", "-u", &name])?;
    ensure!(mdevctl_run(&["list"])?.trim().is_empty(), "not stopped");
    ensure!(
        parent.available("mtty-2")? == 12,
        "{}",
        parent.available("mtty-2")?
    );
    mdevctl_run(&["undefine", "-u", &name])?;
    unload_samples()
}
