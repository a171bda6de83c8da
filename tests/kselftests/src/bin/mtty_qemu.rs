// SPDX-License-Identifier: GPL-2.0

//! The kernel's `samples/vfio-mdev/README.rst`, step by step: the stock mtty, stock QEMU, and a
//! Linux guest (`tests/mtty-guest`) whose driver finds the serial ports.

use anyhow::{bail, ensure};
use siov_kselftests::kernel_module::{load_file, modprobe, unload};
use siov_kselftests::ktap::{self, note, Plan, Result};
use siov_kselftests::mdev::Parent;
use siov_kselftests::poll;
use siov_kselftests::qemu::Qemu;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const KERNEL: &str = "/siov/vmlinuz";
const INIT: &str = "/siov/mtty-guest.init";
/// The UUID that the README has.
const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

fn main() -> ExitCode {
    ktap::run(setup, |()| {
        Plan::new(()).case("the steps of the README", readme).run()
    })
}

fn setup() -> Result {
    modprobe("vfio_iommu_type1", "")?;
    // Like insmod, the step that loads mtty.ko looks for nothing that it needs.
    modprobe("mdev", "")
}

/// An initramfs of busybox and the guest's script.
fn initramfs() -> Result<PathBuf> {
    let stage = Path::new("/tmp/mtty-guest");
    fs::create_dir_all(stage.join("bin"))?;
    fs::copy("/usr/bin/busybox", stage.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", stage.join("bin/sh"))?;
    fs::copy(INIT, stage.join("init"))?;
    fs::set_permissions(stage.join("init"), fs::Permissions::from_mode(0o755))?;
    let archive = stage.with_extension("cpio");
    let packed = Command::new("busybox")
        .args(["sh", "-c", "find . | cpio -o -H newc"])
        .current_dir(stage)
        .stdout(fs::File::create(&archive)?)
        .stderr(Stdio::null())
        .status()?;
    ensure!(packed.success(), "cpio: {packed}");
    Ok(archive)
}

fn boot(device: &Path) -> Result<Vec<String>> {
    let said = Path::new("/tmp/mtty-guest.said");
    let initramfs = initramfs()?.display().to_string();
    let function = format!("vfio-pci,sysfsdev={},addr=05.0", device.display());
    let serial = format!("file:{}", said.display());
    #[rustfmt::skip]
    let arguments = [
        "-no-reboot", "-m", "256", "-M", "pc", "-accel", "kvm", "-cpu", "host", "-kernel", KERNEL,
        "-initrd", &initramfs, "-append", "console=ttyS0 quiet panic=-1", "-serial", &serial,
        "-device", &function,
    ];
    let mut qemu = Qemu::start(&arguments, said)?;
    let status = qemu.wait_within(10 * poll::patience())?;
    let said = String::from_utf8_lossy(&qemu.said()?).into_owned();
    note(&said);
    ensure!(status.success(), "{status}: {}", qemu.errors()?);
    Ok(said
        .lines()
        .filter_map(|line| Some(line.trim_end().strip_prefix("mtty: ")?.to_owned()))
        .collect())
}

fn readme(_: &mut ()) -> Result {
    // 1 and 2: the module, and a device of two ports.
    load_file("/siov/samples/mtty.ko", "")?;
    let mdev = Parent::find("mtty")?.create("mtty-2", UUID)?;

    // 3 to 7: the guest.
    let lines = boot(&mdev.path())?;
    let mut expected = vec!["function 0x4348 0x3253 class 0x070002 driver serial".to_owned()];
    expected.extend([1, 2].map(|port| format!("found ttyS{port} is a 16550A")));
    // Addresses are the firmware's choice.
    let is_port = |line: &String| line.starts_with("port ttyS");
    let ports: Vec<_> = lines.iter().filter(|line| is_port(line)).collect();
    for (port, line) in [1, 2].into_iter().zip(&ports) {
        let words: Vec<_> = line.split(' ').collect();
        let [_, name, "uart", "4", "at", _, "irq", irq] = words[..] else {
            bail!("{line}");
        };
        ensure!(name == format!("ttyS{port}") && irq != "0", "{line}");
    }
    ensure!(ports.len() == 2, "{lines:?}");
    for port in [1, 2] {
        for text in [&format!("port {port}"), "once more"] {
            expected.push(format!("sent '{text}', read '{text}'"));
        }
    }
    expected.push("END".to_owned());
    let others: Vec<_> = lines.iter().filter(|line| !is_port(line)).collect();
    ensure!(
        others == expected.iter().collect::<Vec<_>>(),
        "expected {expected:#?}, the guest says {lines:#?}"
    );

    // 8: the end of the device.
    mdev.remove()?;
    ensure!(!mdev.exists(), "it stays");
    unload("mtty")
}
