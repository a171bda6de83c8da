// SPDX-License-Identifier: GPL-2.0

//! An NVMe disk and two network cards at work behind vtd, in every type of default domain.
//!
//! `--seconds N` is how long each kind of traffic runs (1 without it).

use anyhow::{ensure, Context as _};
use siov_kselftests::ktap::{self, note, skip, Plan, Result};
use siov_kselftests::pci::{Function, E1000E, NVME};
use siov_kselftests::traffic::{disk, net};
use siov_kselftests::{faults, sysfs, tables};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Processors of the guest, and threads of each kind of traffic.
const PROCESSORS: usize = 2;

struct Context {
    disk: Function,
    cards: [Function; 2],
    duration: Duration,
    seed: u64,
}

fn setup() -> Result<Context> {
    let words: Vec<String> = std::env::args().collect();
    let seconds = match words.iter().position(|word| word == "--seconds") {
        Some(at) => words
            .get(at + 1)
            .context("--seconds needs a number")?
            .parse()?,
        None => 1,
    };
    let cards = Function::all(E1000E)?;
    let [near, far] = cards.as_slice() else {
        anyhow::bail!("the guest has {} e1000e, not two", cards.len());
    };
    ensure!(
        sysfs::read("/sys/devices/system/cpu/online")? == "0-1",
        "not two processors"
    );
    Ok(Context {
        disk: Function::first(NVME)?,
        cards: [near.clone(), far.clone()],
        duration: Duration::from_secs(seconds),
        seed: 1,
    })
}

impl Context {
    fn functions(&self) -> impl Iterator<Item = &Function> {
        std::iter::once(&self.disk).chain(&self.cards)
    }

    fn seed(&mut self) -> u64 {
        self.seed += 1;
        self.seed
    }

    fn disk_traffic(&mut self) -> Result<u64> {
        let seed = self.seed();
        let path = disk::block_device(&self.disk)?;
        disk::exercise(&path, PROCESSORS, self.duration, seed)
    }

    fn net_traffic(&mut self) -> Result<u64> {
        let seed = self.seed();
        let [near, far] = &self.cards;
        net::exercise(near, far, PROCESSORS, self.duration, seed)
    }

    /// Both kinds of traffic, one after the other, without a single blocked request.
    fn traffic(&mut self) -> Result {
        let before = faults::counter("faults")?;
        let (disk, net) = (self.disk_traffic()?, self.net_traffic()?);
        note(format!(
            "{} KiB by disk, {} KiB by network",
            disk >> 10,
            net >> 10
        ));
        let blocked = faults::counter("faults")? - before;
        ensure!(blocked == 0, "{blocked} requests were blocked");
        Ok(())
    }
}

/// Checks that all functions have domain type `kind`, and that the disk, whose queues are always
/// mapped, is translated or not accordingly.
fn expect_type(c: &Context, kind: &str) -> Result {
    for function in c.functions() {
        let now = function.domain_type()?;
        ensure!(now == kind, "{function} has domain type {now}, not {kind}");
    }
    let ranges = tables::ranges(&c.disk)?.len();
    ensure!(
        (ranges != 0) == (kind != "identity"),
        "{ranges} ranges are mapped for the disk, which has type {kind}"
    );
    Ok(())
}

fn from_the_start(c: &mut Context) -> Result {
    for function in c.functions() {
        let driver = function
            .driver()
            .with_context(|| format!("{function} has no driver"))?;
        note(format!("{function}: {driver}, {}", function.domain_type()?));
    }
    disk::block_device(&c.disk)?;
    expect_type(c, "DMA-FQ")?;
    c.traffic()
}

fn at_once(c: &mut Context) -> Result {
    let seed = c.seed();
    let path = disk::block_device(&c.disk)?;
    let Context {
        cards: [near, far],
        duration,
        ..
    } = &*c;
    std::thread::scope(|scope| {
        let disk = scope.spawn(|| disk::exercise(&path, PROCESSORS, *duration, seed));
        let net = net::exercise(near, far, PROCESSORS, *duration, seed);
        let disk = disk
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        disk.context("disk")?;
        net.context("network")?;
        Ok(())
    })
}

fn switch(c: &mut Context, kind: &str) -> Result {
    for function in c.functions() {
        let driver = function
            .driver()
            .with_context(|| format!("{function} has no driver"))?;
        function.unbind()?;
        function.set_domain_type(kind)?;
        function.bind(&driver)?;
    }
    disk::block_device(&c.disk)?;
    expect_type(c, kind)?;
    c.traffic()
}

/// From strict to lazy no driver has to go.
fn lazy_at_work(c: &mut Context) -> Result {
    expect_type(c, "DMA")?;
    for function in c.functions() {
        function.set_domain_type("DMA-FQ")?;
    }
    expect_type(c, "DMA-FQ")?;
    c.traffic()
}

fn fio(c: &mut Context) -> Result {
    let path = disk::block_device(&c.disk)?;
    let mut fio = Command::new("fio");
    fio.args([
        "--name=verify",
        "--rw=randwrite",
        "--direct=1",
        "--ioengine=libaio",
        "--iodepth=8",
    ])
    .args([
        "--bsrange=4k-128k",
        "--numjobs=2",
        "--size=16m",
        "--offset_increment=32m",
    ])
    .args([
        "--verify=crc32c",
        "--do_verify=1",
        "--verify_fatal=1",
        "--output-format=terse",
    ])
    .args(["--thread", "--group_reporting"])
    .arg("--filename")
    .arg(path);
    let output = match fio.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(skip("the guest has no fio"));
        }
        Err(error) => return Err(error).context("fio"),
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    ensure!(output.status.success(), "fio: {}: {text}", output.status);
    // Of the terse format's fields (fio(1)): 5 is the error, 6 KiB read, 47 KiB written.
    let fields: Vec<&str> = text
        .lines()
        .find(|l| l.contains(";verify;"))
        .unwrap_or("")
        .split(';')
        .collect();
    let field = |index: usize| fields.get(index - 1).copied().unwrap_or("");
    let (error, read, written) = (field(5), field(6), field(47));
    ensure!(
        error == "0" && read == written && read == "32768",
        "fio: {text}"
    );
    Ok(())
}

fn main() -> ExitCode {
    ktap::run(setup, |context| {
        Plan::new(context)
            .case(
                "disk and network work in the default domain type",
                from_the_start,
            )
            .case("disk and network work at once", at_once)
            .case("fio verifies what it wrote", fio)
            .case("they work in type DMA", |c| switch(c, "DMA"))
            .case("they work in type identity", |c| switch(c, "identity"))
            .case("they work in type DMA again", |c| switch(c, "DMA"))
            .case("they work in type DMA-FQ, switched at work", lazy_at_work)
            .run()
    })
}
