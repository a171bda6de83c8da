// SPDX-License-Identifier: GPL-2.0

//! What sysfs and VFIO tell of a device.

use crate::alone;
use crate::context::{Context, ADI};
use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::ktap::Result;
use siov_kselftests::mdev::uuid;
use siov_kselftests::siov_testdev::regs::fault_region;
use siov_kselftests::sysfs;
use vfio_bindings::bindings::vfio as uapi;

const CONFIG: u32 = uapi::VFIO_PCI_CONFIG_REGION_INDEX;

pub fn types(c: &mut Context) -> Result {
    ensure!(
        c.parent.types()?.contains(&ADI.to_owned()),
        "{:?}",
        c.parent.types()?
    );
    let api = sysfs::read(c.parent.type_path(ADI).join("device_api"))?;
    ensure!(api == "vfio-pci", "{api}");
    let all = c.parent.available(ADI)?;
    let mdev = c.create()?;
    ensure!(
        c.parent.available(ADI)? == all - 1,
        "{}",
        c.parent.available(ADI)?
    );
    ensure!(
        mdev.0.domain_type()? == "attach-parent",
        "{}",
        mdev.0.domain_type()?
    );
    drop(mdev);

    let mut owned = Vec::new();
    for _ in 0..all {
        owned.push(c.create()?);
    }
    let more = c.parent.create(ADI, &uuid(9999));
    sysfs::expect_errno(more, Errno::ENOSPC, "one ADI more than there are")?;
    drop(owned);
    ensure!(
        c.parent.available(ADI)? == all,
        "{}",
        c.parent.available(ADI)?
    );
    Ok(())
}

pub fn function(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let device = &user.adi.device;
    let word = |at: u64| -> Result<u32> {
        let mut bytes = [0; 4];
        device.read(CONFIG, at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    };
    ensure!(word(0)? == 0x5110_1234, "{:#x}", word(0)?);
    // Memory and bus mastering are on; there is a list of capabilities.
    ensure!(word(4)? == 0x0010_0006, "{:#x}", word(4)?);
    let msix = u64::from(word(0x34)?);
    ensure!(word(msix)? & 0xff == 0x11, "{:#x}", word(msix)?);
    ensure!(word(msix)? >> 16 == 1, "vectors: {:#x}", word(msix)?);
    for (bar, size) in [(0x10, 0xffff_f000), (0x14, 0xffff_f000), (0x18, 0)] {
        device.write(CONFIG, bar, &[0xff; 4])?;
        ensure!(word(bar)? == size, "BAR at {bar:#x}: {:#x}", word(bar)?);
    }
    // Unaligned, and of all sizes.
    let mut all = [0; 256];
    device.read(CONFIG, 0, &mut all)?;
    for (at, len) in [(1, 2), (3, 5), (0xff, 1), (7, 13)] {
        let mut some = vec![0; len];
        device.read(CONFIG, at, &mut some)?;
        ensure!(
            some == all[at as usize..at as usize + len],
            "{len} bytes at {at}"
        );
    }
    Ok(())
}

pub fn regions(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let device = &user.adi.device;
    let info = device.info()?;
    let flags = uapi::VFIO_DEVICE_FLAGS_PCI | uapi::VFIO_DEVICE_FLAGS_RESET;
    ensure!(info.flags == flags, "flags {:#x}", info.flags);
    let sizes: Vec<_> = (0..info.num_regions)
        .map(|index| device.region(index).map(|region| region.size))
        .collect::<Result<_>>()?;
    ensure!(
        sizes == [4096, 4096, 0, 0, 0, 0, 0, 256, 0, 4096],
        "{sizes:?}"
    );
    sysfs::expect_errno(
        device.region(info.num_regions),
        Errno::EINVAL,
        "one region more",
    )?;
    for (index, count) in [(0, 0), (1, 0), (2, 2), (3, 1), (4, 1)] {
        let found = device.interrupts(index)?;
        ensure!(found == count, "index {index}: {found} interrupts");
    }
    sysfs::expect_errno(
        device.interrupts(5),
        Errno::EINVAL,
        "interrupts of no index",
    )?;

    let faults = device.find_region(fault_region::TYPE, fault_region::SUBTYPE)?;
    ensure!(faults == 9, "fault region {faults}");
    let write = device.write(faults, 0, &[0]);
    sysfs::expect_errno(write, Errno::EINVAL, "writing to the fault region")?;
    // Only the ADI's own page can be mapped, and no more than that.
    sysfs::expect_errno(device.map_bar(1), Errno::EINVAL, "mapping the MSI-X table")?;
    let behind = device.map_region_part(0, 0, 8192);
    sysfs::expect_errno(behind, Errno::EINVAL, "mapping two pages")?;
    let behind = device.map_region_part(0, 4096, 4096);
    sysfs::expect_errno(behind, Errno::EINVAL, "mapping the next page")
}
