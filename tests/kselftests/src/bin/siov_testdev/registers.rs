// SPDX-License-Identifier: GPL-2.0

//! What the device says about itself, in its registers and in configuration space.

use crate::context::Context;
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_kselftests::siov_testdev::regs::{global, pci, Opcode};
use siov_kselftests::siov_testdev::SiovTestdev;

fn check(device: &SiovTestdev, adis: u32, ats: bool) -> Result {
    ensure!(device.global32(global::offset::VERSION) == global::VERSION);
    ensure!(device.adis() == adis, "{} ADIs", device.adis());
    let capabilities = device.global64(global::offset::CAPABILITIES);
    let capabilities = global::Capabilities::from_bits_retain(capabilities);
    ensure!(
        capabilities.pasid_bits() == 20,
        "{} PASID bits",
        capabilities.pasid_bits()
    );
    ensure!(capabilities.opcodes() == Opcode::ALL);
    // The IOMMU driver has enabled PASID, and iommu_ktest bus mastering.
    let status = global::Status::from_bits_retain(device.global32(global::offset::STATUS));
    let wanted = global::Status::BUS_MASTER | global::Status::PASID;
    ensure!(status.contains(wanted), "status {status:?}");
    ensure!(!status.contains(global::Status::ACTIVE));
    ensure!(
        status.contains(global::Status::ATS) == ats,
        "status {status:?}, with ATS expected to be {ats}"
    );
    ensure!(capabilities.contains(global::Capabilities::ATS) == ats);

    let size = |bar: usize| -> Result<u64> {
        let path = device.function.path(&format!("resource{bar}"));
        Ok(std::fs::metadata(path)?.len())
    };
    let privileged = pci::privileged_page(adis).next_power_of_two();
    ensure!(size(pci::BAR_PRIVILEGED)? == privileged);
    ensure!(size(pci::BAR_USER)? == pci::user_page(adis).next_power_of_two());
    Ok(())
}

pub fn identification(c: &mut Context) -> Result {
    check(&c.root, 64, c.ats)?;
    match &c.behind_port {
        Some(device) => check(device, 8, c.ats),
        None => Ok(()),
    }
}
