// SPDX-License-Identifier: GPL-2.0

//! DMA of a device that user space drives: edu behind the stock vfio-pci and type1 drivers.
//!
//! Every case compares memory: what the device was to read or write, and what it was to leave
//! alone.

use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::edu::Edu;
use siov_kselftests::ktap::{self, expect_faults, skip, Plan, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{faults, sysfs, tables, PAGE, PAGE_1G, PAGE_2M};
use std::process::ExitCode;

/// Where interrupt messages are written, which no device may reach as memory.
const MSI_WINDOW: (u64, usize) = (0xfee0_0000, 0x10_0000);

/// One device.
struct Engine {
    function: Function,
    edu: Edu,
    _device: Device,
}

impl Engine {
    /// Has the device read a page, and checks how many of its requests were blocked.
    fn read(&self, iova: u64, blocked: u64) -> Result {
        self.expect(blocked, || self.edu.read(iova, PAGE))
    }

    /// Only `vtd` counts; with the stock driver it is memory alone that shows what was blocked.
    fn expect(&self, blocked: u64, provoke: impl FnOnce() -> Result) -> Result {
        if over_intel() {
            return provoke();
        }
        faults::expect(&self.function, blocked, provoke)
    }

    /// Has the device write a page, and checks how many of its requests were blocked.
    fn write(&self, iova: u64, blocked: u64) -> Result {
        self.expect(blocked, || self.edu.write(iova, PAGE))
    }
}

/// Whether the stock driver has the IOMMU.
fn over_intel() -> bool {
    std::env::args().any(|word| word == "--intel")
}

struct Context {
    engines: Vec<Engine>,
    container: Container,
    first_stage: bool,
    seed: u64,
    iova: u64,
}

fn open(functions: Vec<Function>) -> Result<(Container, Vec<Engine>)> {
    let mut container = Container::new()?;
    let mut engines = Vec::new();
    for function in functions {
        let device = container.add(&function)?;
        device.set_bus_master(true)?;
        engines.push(Engine {
            function,
            edu: Edu::new(device.map_bar(0)?)?,
            _device: device,
        });
    }
    Ok((container, engines))
}

fn setup() -> Result<Context> {
    let functions = Function::all(EDU)?;
    ensure!(functions.len() >= 2, "the guest has fewer than two edu");
    sysfs::write("/proc/sys/vm/nr_hugepages", "4")?;
    let (container, engines) = open(functions)?;
    Ok(Context {
        engines,
        container,
        first_stage: std::env::args().any(|word| word == "--first-stage"),
        seed: 0,
        iova: 0,
    })
}

impl Context {
    /// A page of data that no other call returns.
    fn data(&mut self) -> Vec<u8> {
        self.seed += 1;
        bytes(PAGE, self.seed)
    }

    /// `pages` pages of memory, each with data of its own.
    fn memory(&mut self, pages: usize) -> Result<(Mapping, Vec<Vec<u8>>)> {
        let memory = Mapping::memory(pages * PAGE)?;
        let data: Vec<_> = (0..pages).map(|_| self.data()).collect();
        for (page, data) in data.iter().enumerate() {
            memory.write(page * PAGE, data);
        }
        Ok((memory, data))
    }

    /// An address that no other call returns; 4 GiB and more may be mapped there.
    fn address(&mut self) -> u64 {
        self.iova += 4 * PAGE_1G as u64;
        self.iova
    }

    /// Fills the buffer of a device with fresh data.
    fn load(&mut self, engine: usize) -> Result<Vec<u8>> {
        let (memory, data) = self.memory(1)?;
        let iova = self.address();
        self.container.map(iova, &memory, 0, PAGE, Access::Read)?;
        self.engines[engine].read(iova, 0)?;
        self.container.unmap(iova, PAGE)?;
        Ok(data.concat())
    }

    /// What is in the buffer of a device.
    fn held(&mut self, engine: usize) -> Result<Vec<u8>> {
        let memory = Mapping::memory(PAGE)?;
        let iova = self.address();
        self.container.map(iova, &memory, 0, PAGE, Access::Write)?;
        self.engines[engine].write(iova, 0)?;
        self.container.unmap(iova, PAGE)?;
        Ok(memory.read(0, PAGE))
    }

    /// Checks that a device has read `data`.
    fn expect_held(&mut self, engine: usize, data: &[u8]) -> Result {
        expect_equal("the device's buffer", &self.held(engine)?, data)
    }

    /// Checks that a device with `loaded` in its buffer got nothing in a read: a blocked request
    /// yields an error, for which the emulated device takes zeros.
    fn expect_nothing_read(&mut self, engine: usize, loaded: &[u8]) -> Result {
        let held = self.held(engine)?;
        if held.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        expect_equal("the device's buffer", &held, loaded)
    }
}

fn expect_pages(memory: &Mapping, data: &[impl AsRef<[u8]>]) -> Result {
    for (page, data) in data.iter().enumerate() {
        expect_equal(
            &format!("page {page}"),
            &memory.read(page * PAGE, PAGE),
            data.as_ref(),
        )?;
    }
    Ok(())
}

fn mapped(c: &mut Context) -> Result {
    let loaded = c.load(0)?;
    let (memory, mut data) = c.memory(3)?;
    let iova = c.address();
    c.container
        .map(iova, &memory, 0, 3 * PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova + PAGE as u64, 0)?;
    data[1] = loaded;
    expect_pages(&memory, &data)?;
    c.engines[0].read(iova + 2 * PAGE as u64, 0)?;
    c.expect_held(0, &data[2])?;
    expect_pages(&memory, &data)
}

fn unmapped_write(c: &mut Context) -> Result {
    c.load(0)?;
    let (memory, data) = c.memory(3)?;
    let iova = c.address();
    let end = iova + 2 * PAGE as u64;
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    c.container
        .map(end, &memory, 2 * PAGE, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova + PAGE as u64, 1)?;
    expect_pages(&memory, &data)?;
    // Both neighbours are still reached.
    let loaded = c.load(0)?;
    c.engines[0].write(iova, 0)?;
    c.engines[0].write(end, 0)?;
    expect_pages(&memory, &[&loaded, &data[1], &loaded])
}

fn unmapped_read(c: &mut Context) -> Result {
    let loaded = c.load(0)?;
    let iova = c.address();
    c.engines[0].read(iova, 1)?;
    c.expect_nothing_read(0, &loaded)
}

fn read_only(c: &mut Context) -> Result {
    c.load(0)?;
    let (memory, data) = c.memory(1)?;
    let iova = c.address();
    c.container.map(iova, &memory, 0, PAGE, Access::Read)?;
    c.engines[0].write(iova, 1)?;
    expect_pages(&memory, &data)?;
    c.engines[0].read(iova, 0)?;
    c.expect_held(0, &data[0])?;
    // Now that the read has filled the IOTLB: the emulated unit then blocks without recording a
    // fault.
    c.load(0)?;
    c.engines[0].edu.write(iova, PAGE)?;
    expect_pages(&memory, &data)
}

fn write_only(c: &mut Context) -> Result {
    if c.first_stage {
        return Err(skip("first-stage entries that can be written can be read"));
    }
    let loaded = c.load(0)?;
    let (memory, _) = c.memory(1)?;
    let iova = c.address();
    c.container.map(iova, &memory, 0, PAGE, Access::Write)?;
    c.engines[0].read(iova, 1)?;
    c.expect_nothing_read(0, &loaded)?;
    let loaded = c.load(0)?;
    c.engines[0].write(iova, 0)?;
    expect_pages(&memory, &[&loaded])?;
    // With the IOTLB filled, as for read-only pages.
    memory.write(0, &c.data());
    c.engines[0].edu.read(iova, PAGE)?;
    c.expect_nothing_read(0, &loaded)
}

fn crossing(c: &mut Context) -> Result {
    let loaded = c.load(0)?;
    let (memory, data) = c.memory(3)?;
    let iova = c.address();
    let half = PAGE / 2;
    // Neighbours for the device, in reversed order and with a gap in memory.
    c.container
        .map(iova, &memory, 2 * PAGE, PAGE, Access::ReadWrite)?;
    c.container
        .map(iova + PAGE as u64, &memory, 0, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova + half as u64, 0)?;
    let first = [&data[2][..half], &loaded[..half]].concat();
    let second = [&loaded[half..], &data[0][half..]].concat();
    expect_pages(&memory, &[&second, &data[1], &first])
}

fn crossing_the_end(c: &mut Context) -> Result {
    c.load(0)?;
    let (memory, data) = c.memory(2)?;
    let iova = c.address();
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova + PAGE as u64 / 2, 1)?;
    // What the device did to the mapped half is its own affair.
    expect_equal(
        "untouched half",
        &memory.read(0, PAGE / 2),
        &data[0][..PAGE / 2],
    )?;
    expect_equal("next page", &memory.read(PAGE, PAGE), &data[1])
}

fn after_unmap(c: &mut Context) -> Result {
    let loaded = c.load(0)?;
    let (memory, mut data) = c.memory(2)?;
    let iova = c.address();
    let next = iova + PAGE as u64;
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    c.container
        .map(next, &memory, PAGE, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova, 0)?;
    c.engines[0].write(next, 0)?;
    expect_pages(&memory, &[&loaded, &loaded])?;
    c.container.unmap(iova, PAGE)?;
    memory.write(0, &data[0]);
    data[1] = c.load(0)?;
    c.engines[0].write(iova, 1)?;
    c.engines[0].write(next, 0)?;
    expect_pages(&memory, &data)?;
    c.engines[0].read(iova, 1)?;
    c.expect_nothing_read(0, &data[1])
}

fn after_remap(c: &mut Context) -> Result {
    let first = c.load(0)?;
    let (memory, _) = c.memory(2)?;
    let iova = c.address();
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova, 0)?;
    c.container.unmap(iova, PAGE)?;
    c.container
        .map(iova, &memory, PAGE, PAGE, Access::ReadWrite)?;
    let second = c.load(0)?;
    c.engines[0].write(iova, 0)?;
    expect_pages(&memory, &[first, second])
}

fn less_permission(c: &mut Context) -> Result {
    let loaded = c.load(0)?;
    let (memory, _) = c.memory(1)?;
    let iova = c.address();
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova, 0)?;
    c.container.unmap(iova, PAGE)?;
    c.container.map(iova, &memory, 0, PAGE, Access::Read)?;
    c.load(0)?;
    c.engines[0].write(iova, 1)?;
    expect_pages(&memory, &[loaded])
}

/// Pages all over a large leaf, then none of them.
fn large_leaf(c: &mut Context, memory: &Mapping, size: usize, leaf: &str) -> Result {
    let iova = c.address();
    c.container
        .map(iova, memory, 0, memory.len(), Access::ReadWrite)?;
    if !over_intel() {
        let range = tables::range_of(&c.engines[0].function, iova)?;
        let range = range.context("nothing is mapped")?;
        ensure!(
            range.leaf == leaf,
            "{size:#x} bytes are mapped as {range:?}"
        );
    }
    let places = [0, PAGE, size / 2, size - PAGE];
    for at in places {
        let loaded = c.load(0)?;
        c.engines[0].write(iova + at as u64, 0)?;
        expect_equal(&format!("page at {at:#x}"), &memory.read(at, PAGE), &loaded)?;
    }
    c.container.unmap(iova, memory.len())?;
    let sentinel = c.data();
    for at in places {
        memory.write(at, &sentinel);
        c.engines[0].write(iova + at as u64, 1)?;
        expect_equal(
            &format!("page at {at:#x}"),
            &memory.read(at, PAGE),
            &sentinel,
        )?;
    }
    Ok(())
}

fn leaf_2m(c: &mut Context) -> Result {
    let memory = Mapping::huge_pages(PAGE_2M, 21)?;
    large_leaf(c, &memory, PAGE_2M, "2M")
}

fn leaf_1g(c: &mut Context) -> Result {
    let free = "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages";
    if sysfs::read(free)? == "0" {
        return Err(skip("the guest has no free page of 1 GiB"));
    }
    let memory = Mapping::huge_pages(PAGE_1G, 30)?;
    large_leaf(c, &memory, PAGE_1G, "1G")
}

fn many_pages(c: &mut Context) -> Result {
    // More than one table of leaves, from an odd page on.
    const PAGES: usize = 700;
    let memory = Mapping::memory(PAGES * PAGE)?;
    let iova = c.address() + 5 * PAGE as u64;
    c.container
        .map(iova, &memory, 0, memory.len(), Access::ReadWrite)?;
    let mut loaded = Vec::new();
    for engine in 0..c.engines.len() {
        loaded.push(c.load(engine)?);
    }
    let step = PAGES / c.engines.len();
    let place = |engine: usize| (1 + engine * step) * PAGE;
    let write_all = |c: &Context| -> Result {
        for (engine, e) in c.engines.iter().enumerate() {
            e.edu.start_write(iova + place(engine) as u64, 0, PAGE);
        }
        c.engines.iter().try_for_each(|e| e.edu.wait())
    };
    write_all(c)?;
    for (engine, data) in loaded.iter().enumerate() {
        let at = place(engine);
        expect_equal(&format!("page at {at:#x}"), &memory.read(at, PAGE), data)?;
    }
    c.container.unmap(iova, memory.len())?;
    memory.zero();
    write_all(c)?;
    expect_equal(
        "unmapped memory",
        &memory.read(0, memory.len()),
        &vec![0; memory.len()],
    )
}

fn places(c: &mut Context) -> Result {
    let (sizes, ranges) = c.container.info()?;
    ensure!(sizes & 0x20_1000 == 0x20_1000, "page sizes {sizes:#x}");
    let top = *ranges.last().context("no range at all")?.end();
    ensure!(top >= (1 << 39) - 1, "the highest address is {top:#x}");
    let page = PAGE as u64;
    // First page; both sides of 2 MiB, of 4 GiB and of a half of the address space; both sides of
    // the window of interrupt messages; last page.
    let (window, len) = MSI_WINDOW;
    let half = (top >> 1) + 1;
    let addresses = [
        0,
        (2 << 20) - page,
        2 << 20,
        window - page,
        window + len as u64,
        (4 << 30) - page,
        4 << 30,
        half - page,
        half,
        top + 1 - page,
    ];
    for iova in addresses {
        let loaded = c.load(0)?;
        let memory = Mapping::memory(PAGE)?;
        c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
        c.engines[0].write(iova, 0)?;
        c.container.unmap(iova, PAGE)?;
        expect_equal(
            &format!("page at {iova:#x}"),
            &memory.read(0, PAGE),
            &loaded,
        )?;
        memory.zero();
        c.engines[0].write(iova, 1)?;
        expect_equal(
            &format!("page at {iova:#x}"),
            &memory.read(0, PAGE),
            &vec![0; PAGE],
        )?;
    }
    Ok(())
}

fn refused(c: &mut Context) -> Result {
    let memory = Mapping::memory(2 * PAGE)?;
    let page = PAGE as u64;
    let (window, len) = MSI_WINDOW;
    let (_, ranges) = c.container.info()?;
    let top = *ranges.last().context("no range at all")?.end();
    for iova in [
        window,
        window + len as u64 - page,
        window - page,
        top + 1,
        top + 1 - page,
    ] {
        let map = c
            .container
            .map(iova, &memory, 0, 2 * PAGE, Access::ReadWrite);
        sysfs::expect_errno(
            map,
            Errno::EINVAL,
            &format!("mapping two pages at {iova:#x}"),
        )?;
    }
    ensure!(
        ranges
            .iter()
            .all(|range| *range.end() < window || *range.start() >= window + len as u64),
        "the window of interrupt messages is offered in {ranges:x?}"
    );
    let iova = c.address();
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    let again = c
        .container
        .map(iova, &memory, PAGE, PAGE, Access::ReadWrite);
    sysfs::expect_errno(again, Errno::EEXIST, "mapping a page twice")
}

fn shared(c: &mut Context) -> Result {
    let count = c.engines.len();
    let (memory, _) = c.memory(count)?;
    let iova = c.address();
    c.container
        .map(iova, &memory, 0, count * PAGE, Access::ReadWrite)?;
    let mut data = Vec::new();
    for engine in 0..count {
        data.push(c.load(engine)?);
        c.engines[engine].write(iova + (engine * PAGE) as u64, 0)?;
    }
    expect_pages(&memory, &data)?;
    c.container.unmap(iova, count * PAGE)?;
    for engine in 0..count {
        c.load(engine)?;
        c.engines[engine].write(iova + (engine * PAGE) as u64, 1)?;
    }
    expect_pages(&memory, &data)
}

/// A new address space may get what identified the old one to the hardware.
fn new_container(c: &mut Context) -> Result {
    let (memory, _) = c.memory(1)?;
    let iova = c.address();
    let loaded = c.load(0)?;
    c.container.map(iova, &memory, 0, PAGE, Access::ReadWrite)?;
    c.engines[0].write(iova, 0)?;
    expect_pages(&memory, &[loaded])?;
    memory.zero();
    let functions = c.engines.drain(..).map(|engine| engine.function).collect();
    // The old one has to be closed before its groups can go elsewhere.
    c.container = Container::new()?;
    (c.container, c.engines) = open(functions)?;
    c.load(0)?;
    c.engines[0].write(iova, 1)?;
    expect_equal(
        "page of the old container",
        &memory.read(0, PAGE),
        &vec![0; PAGE],
    )
}

fn main() -> ExitCode {
    expect_faults(60);
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("mapped pages are read and written, and no others", mapped)
            .case(
                "a write to a page that is not mapped is blocked",
                unmapped_write,
            )
            .case(
                "a read of a page that is not mapped is blocked",
                unmapped_read,
            )
            .case("a read-only page is read and not written", read_only)
            .case("a write-only page is written and not read", write_only)
            .case(
                "one transfer reaches two pages that are apart in memory",
                crossing,
            )
            .case(
                "a transfer that runs past the last page is blocked there",
                crossing_the_end,
            )
            .case("nothing is reached after unmap", after_unmap)
            .case("the new page is reached after remap", after_remap)
            .case("less permission is in force at once", less_permission)
            .case("a leaf of 2 MiB is reached, and not after unmap", leaf_2m)
            .case("a leaf of 1 GiB is reached, and not after unmap", leaf_1g)
            .case(
                "many pages are reached, and not after one unmap",
                many_pages,
            )
            .case("addresses from the first to the last page work", places)
            .case("other addresses are refused", refused)
            .case("all devices of a container share its mappings", shared)
            .case(
                "a new container has none of the old one's mappings",
                new_container,
            )
            .run()
    })
}
