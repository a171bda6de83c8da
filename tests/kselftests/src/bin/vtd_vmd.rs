// SPDX-License-Identifier: GPL-2.0

//! Functions that a driver presents on a bus of its own making, as Intel VMD's does: their PCI
//! domain is no segment of the machine, their DMA carries the requester id of the VMD, and the bus
//! addresses they have may be those of others.

use anyhow::{ensure, Context as _};
use siov_kselftests::kernel_module::modprobe;
use siov_kselftests::ktap::{self, Plan, Result};
use siov_kselftests::pci::{Function, NVME, VIRTIO_VGA};
use siov_kselftests::traffic::disk;
use siov_kselftests::{faults, poll, tables};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Bytes of configuration space per function.
const FUNCTION: usize = 4096;
/// The function that VMD finds: device 2, function 0 on its bus 0, as the disk on its own.
const DEVICE: usize = 2;
/// Vendor and device id of no driver.
const ID: u32 = 0x0001_1b36;
/// Base class 8, system peripheral; revision 1.
const CLASS: u32 = 0x0880_0001;

struct Context {
    vmd: Function,
    disk: Function,
    block: PathBuf,
    child: Function,
    /// Whether the driver below is vtd.
    vtd: bool,
    seed: u64,
}

impl Context {
    fn expect_disk_works(&mut self) -> Result {
        self.seed += 1;
        disk::exercise(&self.block, 1, Duration::ZERO, self.seed).map(drop)
    }

    /// Has the stock vmd driver find a function, in what plays its configuration space.
    fn bind(&self) -> Result {
        self.vmd.unbind()?;
        let bar = self.vmd.map_bar(0)?;
        // Where there is no function, reads give all ones.
        bar.write(0, &vec![0xff; bar.len()]);
        let at = DEVICE << 3;
        let mut config = vec![0; FUNCTION];
        config[..4].copy_from_slice(&ID.to_le_bytes());
        config[8..12].copy_from_slice(&CLASS.to_le_bytes());
        bar.write(at * FUNCTION, &config);
        self.vmd.bind("vmd")?;
        poll::until_true(&format!("{} appears", self.child), || {
            Ok(self.child.exists())
        })
    }

    fn unbind(&self) -> Result {
        self.vmd.unbind()?;
        ensure!(!self.child.exists(), "{} stays", self.child);
        Ok(())
    }
}

fn setup(vtd: bool) -> Result<Context> {
    modprobe("vmd", "")?;
    let disk = Function::first(NVME)?;
    let child = Function::at(&format!("10000:{}", disk.requester()))?;
    ensure!(
        disk.requester() == format!("00:{DEVICE:02x}.0"),
        "the disk is {disk}"
    );
    Ok(Context {
        vmd: Function::first(VIRTIO_VGA)?,
        block: disk::block_device(&disk)?,
        disk,
        child,
        vtd,
        seed: 0,
    })
}

fn comes(c: &mut Context) -> Result {
    c.expect_disk_works()?;
    let before = c.vtd.then(|| tables::context_entry(&c.disk)).transpose()?;
    c.bind()?;
    let after = c.vtd.then(|| tables::context_entry(&c.disk)).transpose()?;
    ensure!(before == after, "{before:?} became {after:?}");
    c.expect_disk_works()
}

fn group(c: &mut Context) -> Result {
    let group = c.child.group();
    ensure!(
        group.is_some() && group == c.vmd.group() && group != c.disk.group(),
        "{} is in group {group:?}, {} in {:?}, {} in {:?}",
        c.child,
        c.vmd,
        c.vmd.group(),
        c.disk,
        c.disk.group()
    );
    if c.vtd {
        let text = tables::context_entry(&c.child)?;
        let id = c.vmd.requester();
        ensure!(
            text == format!("requests carry the id {id}"),
            "{}: {text}",
            c.child
        );
    }
    Ok(())
}

fn goes(c: &mut Context) -> Result {
    c.unbind()?;
    c.expect_disk_works()?;
    c.bind()?;
    c.expect_disk_works()?;
    // In the other order: without its driver's help, as if it had been pulled.
    c.child.remove()?;
    c.expect_disk_works()?;
    c.unbind()?;
    c.expect_disk_works()
}

fn no_fault(c: &mut Context) -> Result {
    if c.vtd {
        let blocked = faults::counter("faults")?;
        ensure!(blocked == 0, "{blocked} requests were blocked");
    }
    let kind = c.disk.domain_type().context("the disk's domain")?;
    ensure!(kind == "DMA-FQ", "the disk's domain has type {kind}");
    Ok(())
}

fn main() -> ExitCode {
    let vtd = !std::env::args().any(|argument| argument == "--intel");
    ktap::run(
        move || setup(vtd),
        |context| {
            Plan::new(context)
                .case("a function comes that has the bus address of a disk", comes)
                .case("it shares the group of the function it lies below", group)
                .case("it goes, and comes again", goes)
                .case("nothing was blocked", no_fault)
                .run()
        },
    )
}
