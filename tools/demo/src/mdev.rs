// SPDX-License-Identifier: GPL-2.0

//! What an operator and two users do with mediated devices: modprobe, sysfs, VFIO.

use crate::print_tables_where;
use crate::summary::{heading, Summary};
use crate::user::{Process, COPY, GO_ASTRAY, LOOK, STRAY};
use anyhow::{ensure, Context, Result};
use siov_kselftests::adi_parent::{page, AdiParent, ADI};
use siov_kselftests::kernel_log::KernelLog;
use std::process::Command;

const TEXTS: [&str; 2] = ["this is the first process's", "and this the second's"];

/// Says which files modprobe takes for `module`, and loads it.
fn load(module: &str) -> Result<AdiParent> {
    let output = Command::new("modprobe")
        .args(["--show-depends", module])
        .output()
        .context("modprobe")?;
    println!("   modprobe {module}");
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours: Vec<_> = words
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .filter(|file| file.contains("/updates/"))
        .collect();
    for file in &ours {
        println!("     {}", file.trim_end());
    }
    for needed in ["mdev.ko", "iommu_aux.ko", "siov_testdev.ko"] {
        ensure!(
            ours.iter().any(|file| file.contains(needed)),
            "modprobe does not take our {needed}: {words}"
        );
    }
    AdiParent::new()
}

pub fn show(summary: &mut Summary, log: &mut KernelLog) -> Result<()> {
    heading("mediated devices: modprobe takes what scripts/install puts under updates/");
    let mut parent = load("siov_testdev")?;
    let function = parent.function.clone();
    let line = log.wait_for(&["siov_testdev", function.address(), "ADIs"])?;
    println!("   {}", line.trim());

    heading("an operator creates two of them by sysfs");
    let (first, second) = (parent.create()?, parent.create()?);
    for device in [&first.0, &second.0] {
        println!("   echo {} >{}/create", device.uuid(), folder(&parent));
        println!(
            "     domain_type {}, IOMMU group {}",
            device.domain_type()?,
            device.group()?
        );
        ensure!(device.domain_type()? == "attach-parent");
    }

    heading("two processes open one each by VFIO, with memory of their own at the same address");
    let mut users = Vec::new();
    for (device, text) in [&first.0, &second.0].into_iter().zip(TEXTS) {
        users.push(Process::start(device, text)?);
    }
    for user in &mut users {
        user.ask(COPY)?;
    }
    // Of both, where the two pages of the copy are.
    let pages = [format!("{:#014x}-", page(0)), format!("{:#014x}-", page(1))];
    print_tables_where(&function, 12, |line| {
        line.contains("PASID 0x") || pages.iter().any(|page| line.contains(page))
    })?;
    summary.add(
        "two processes",
        &function,
        String::from("same address, each its own memory"),
    );

    let [guilty, other] = users.as_mut_slice() else {
        anyhow::bail!("not two processes");
    };
    heading(&format!(
        "and the ADI of process {} writes to {:#x}, where that has nothing mapped",
        guilty.id(),
        page(STRAY) + 8
    ));
    guilty.ask(GO_ASTRAY)?;
    let line = log.wait_for(&["vtd fault", function.requester()])?;
    println!("   {}", line.trim());
    let heard = other.ask(LOOK)?;
    ensure!(heard.starts_with("heard of no fault"), "it was told");
    guilty.ask(LOOK)?;
    guilty.ask(COPY)?;
    summary.add(
        "stray process",
        &function,
        String::from("blocked, told to that process and no other, nothing changed"),
    );
    drop(users);
    for device in [&first.0, &second.0] {
        device.remove()?;
    }
    Ok(())
}

/// Where devices are created.
fn folder(parent: &AdiParent) -> String {
    format!(
        "/sys/class/mdev_bus/{}/mdev_supported_types/{ADI}",
        parent.function.address()
    )
}
