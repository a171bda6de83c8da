// SPDX-License-Identifier: GPL-2.0

//! The kernel's IOMMU API over vtd: what iommu_map() and its kin promise, checked by the DMA of
//! edu.

use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::edu::Edu;
use siov_kselftests::ktap::{self, expect_faults, Plan, Result};
use siov_kselftests::ktest::{prot, Buffer, Direction, Domain, Ktest, NO_PASID};
use siov_kselftests::pattern::{bytes, expect_equal, Words};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::{faults, poll, stats, tables, PAGE, PAGE_1G, PAGE_2M};
use std::process::ExitCode;

/// One device.
struct Engine {
    function: Function,
    edu: Edu,
}

impl Engine {
    fn new(function: Function) -> Result<Self> {
        let edu = Edu::new(function.map_bar(0)?)?;
        Ok(Self { function, edu })
    }

    /// Has the device write a page, and checks how many of its requests were blocked.
    fn write(&self, iova: u64, blocked: u64) -> Result {
        faults::expect(&self.function, blocked, || self.edu.write(iova, PAGE))
    }
}

struct Context {
    ktest: Ktest,
    engines: Vec<Engine>,
    seed: u64,
}

fn setup() -> Result<Context> {
    let ktest = Ktest::open()?;
    let mut engines = Vec::new();
    for function in Function::all(EDU)? {
        ktest.take(&function)?;
        engines.push(Engine::new(function)?);
    }
    ensure!(engines.len() >= 2, "the guest has fewer than two edu");
    Ok(Context {
        ktest,
        engines,
        seed: 0,
    })
}

/// Where most cases map something.
const IOVA: u64 = 5 << 30;

/// Where the device's buffer is filled from.
const STAGING: u64 = 300 << 30;

impl Context {
    fn domain(&self) -> Result<Domain> {
        self.ktest.domain(&self.engines[0].function)
    }

    /// A domain that the first device is attached to.
    fn attached(&self) -> Result<Domain> {
        let domain = self.domain()?;
        domain.attach(&self.engines[0].function, NO_PASID)?;
        Ok(domain)
    }

    /// Fills the buffer of a device, which is attached to `domain`, with data that no other call
    /// returns.
    fn load(&mut self, engine: usize, domain: &Domain) -> Result<Vec<u8>> {
        self.seed += 1;
        let data = bytes(PAGE, self.seed);
        let staging = self.ktest.buffer(0)?;
        staging.memory.write(0, &data);
        domain.map(STAGING, staging.phys, PAGE, prot::READ)?;
        let Engine { function, edu } = &self.engines[engine];
        faults::expect(function, 0, || edu.read(STAGING, PAGE))?;
        ensure!(
            domain.unmap(STAGING, PAGE)? == PAGE,
            "staging page not unmapped"
        );
        Ok(data)
    }
}

/// Checks that `buffer` holds `data` at `at`, and zeros everywhere else.
fn expect_only(buffer: &Buffer, at: usize, data: &[u8]) -> Result {
    let mut expected = vec![0; buffer.len()];
    expected[at..at + data.len()].copy_from_slice(data);
    expect_equal("buffer", &buffer.memory.read(0, buffer.len()), &expected)
}

fn page(index: usize) -> u64 {
    (index * PAGE) as u64
}

fn translation(c: &mut Context) -> Result {
    const PAGES: usize = 64;
    const WITH_DMA: usize = 6;
    let buffer = c.ktest.buffer(9)?;
    let domain = c.attached()?;
    let mut words = Words::new(7);
    // Anywhere, at most one page in 2 MiB.
    let slots = (domain.last + 1) >> 21;
    let mut iovas = std::collections::BTreeMap::new();
    while iovas.len() < PAGES {
        let slot = words.below(slots);
        iovas.insert(slot, (slot << 21) + page(words.below(512) as usize));
    }
    let iovas: Vec<u64> = iovas
        .into_values()
        .filter(|iova| *iova != STAGING)
        .collect();
    // Neighbours for the device are not neighbours in memory.
    let place = |index: usize| (index * 37 % 512) * PAGE;
    for (index, iova) in iovas.iter().enumerate() {
        domain.map(*iova, buffer.phys + place(index) as u64, PAGE, prot::BOTH)?;
    }
    for (index, iova) in iovas.iter().enumerate() {
        for offset in [0, 0x123, PAGE as u64 - 1] {
            let phys = domain.iova_to_phys(iova + offset)?;
            let expected = buffer.phys + place(index) as u64 + offset;
            ensure!(
                phys == Some(expected),
                "{iova:#x}+{offset:#x}: {phys:x?}, not {expected:#x}"
            );
        }
        let beyond = domain.iova_to_phys(iova + page(1))?;
        ensure!(
            beyond.is_none(),
            "the page after {iova:#x} translates to {beyond:x?}"
        );
    }
    for index in (0..iovas.len()).step_by(iovas.len() / WITH_DMA) {
        let data = c.load(0, &domain)?;
        c.engines[0].write(iovas[index], 0)?;
        let phys = domain.iova_to_phys(iovas[index])?.context("unmapped")?;
        let at = usize::try_from(phys - buffer.phys)?;
        expect_only(&buffer, at, &data)?;
        buffer.memory.zero();
    }
    Ok(())
}

fn split(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(9)?;
    let domain = c.attached()?;
    domain.map(IOVA, buffer.phys, PAGE_2M, prot::BOTH)?;
    let range = tables::range_of(&c.engines[0].function, IOVA)?.context("nothing is mapped")?;
    ensure!(range.leaf == "2M", "2 MiB are mapped as {range:?}");
    // The device has used the large leaf.
    let data = c.load(0, &domain)?;
    c.engines[0].write(IOVA + page(100), 0)?;
    expect_only(&buffer, 100 * PAGE, &data)?;
    buffer.memory.zero();

    let gone = 100..103;
    let len = gone.len() * PAGE;
    let unmapped = domain.unmap(IOVA + page(gone.start), len)?;
    ensure!(
        unmapped == len,
        "{unmapped:#x} bytes unmapped instead of {len:#x}"
    );
    for index in 0..512 {
        let phys = domain.iova_to_phys(IOVA + page(index))?;
        let expected = (!gone.contains(&index)).then(|| buffer.phys + page(index));
        ensure!(
            phys == expected,
            "page {index}: {phys:x?} instead of {expected:x?}"
        );
    }
    for index in [0, gone.start - 1, gone.end, 511] {
        let data = c.load(0, &domain)?;
        c.engines[0].write(IOVA + page(index), 0)?;
        expect_only(&buffer, index * PAGE, &data)?;
        buffer.memory.zero();
    }
    for index in gone {
        c.engines[0].write(IOVA + page(index), 1)?;
    }
    expect_only(&buffer, 0, &[])
}

fn overlap(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(9)?;
    let domain = c.attached()?;
    let taken = IOVA + page(5);
    domain.map(taken, buffer.phys, PAGE, prot::BOTH)?;
    let other = buffer.phys + page(8);
    expect_errno(
        domain.map(taken, other, PAGE, prot::BOTH),
        Errno::EADDRINUSE,
        "same page",
    )?;
    let around = domain.map(IOVA, other, 16 * PAGE, prot::BOTH);
    expect_errno(around, Errno::EADDRINUSE, "range around it")?;
    let large = domain.map(IOVA, buffer.phys, PAGE_2M, prot::BOTH);
    expect_errno(large, Errno::EADDRINUSE, "large leaf over it")?;
    for index in 0..512 {
        let phys = domain.iova_to_phys(IOVA + page(index))?;
        let expected = (index == 5).then_some(buffer.phys);
        ensure!(
            phys == expected,
            "page {index}: {phys:x?} instead of {expected:x?}"
        );
    }
    let data = c.load(0, &domain)?;
    c.engines[0].write(taken, 0)?;
    expect_only(&buffer, 0, &data)
}

fn errors(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(0)?;
    let domain = c.attached()?;
    ensure!(
        domain.page_sizes & 0xfff == 0,
        "page sizes {:#x}",
        domain.page_sizes
    );
    ensure!(
        domain.first == 0 && domain.last >= (1 << 39) - 1,
        "aperture up to {:#x}",
        domain.last
    );
    let odd = domain.map(IOVA + 1, buffer.phys, PAGE, prot::BOTH);
    expect_errno(odd, Errno::ENXIO, "address that is no page's")?;
    let part = domain.map(IOVA, buffer.phys, PAGE - 1, prot::BOTH);
    expect_errno(part, Errno::ENXIO, "part of a page")?;
    let beyond = domain.map(domain.last + 1, buffer.phys, PAGE, prot::BOTH);
    expect_errno(beyond, Errno::ERANGE, "page beyond the aperture")?;
    let last = domain.last + 1 - page(1);
    let over = domain.map(last, buffer.phys, 2 * PAGE, prot::BOTH);
    expect_errno(over, Errno::ERANGE, "two pages at the end of the aperture")?;
    ensure!(
        domain.iova_to_phys(last)?.is_none(),
        "a refused mapping left a page behind"
    );
    domain.map(last, buffer.phys, PAGE, prot::BOTH)?;
    ensure!(
        domain.unmap(last, PAGE)? == PAGE,
        "the last page was not unmapped"
    );
    ensure!(
        domain.unmap(last, PAGE)? == 0,
        "the last page was unmapped twice"
    );
    let pasid = domain.attach(&c.engines[0].function, 1);
    expect_errno(pasid, Errno::EOPNOTSUPP, "PASID of a device that has none")
}

fn two_devices(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(1)?;
    let domain = c.attached()?;
    let second = c.engines[1].function.clone();
    domain.attach(&second, NO_PASID)?;
    domain.map(IOVA, buffer.phys, 2 * PAGE, prot::BOTH)?;
    let (first_data, second_data) = (c.load(0, &domain)?, c.load(1, &domain)?);
    c.engines[0].write(IOVA, 0)?;
    c.engines[1].write(IOVA + page(1), 0)?;
    let all = [first_data, second_data].concat();
    expect_equal("buffer", &buffer.memory.read(0, 2 * PAGE), &all)?;
    // What is unmapped is unmapped for both.
    domain.unmap(IOVA, PAGE)?;
    buffer.memory.zero();
    c.engines[0].write(IOVA, 1)?;
    c.engines[1].write(IOVA, 1)?;
    expect_only(&buffer, 0, &[])?;
    // Without the second, the first goes on.
    domain.detach(&second, NO_PASID)?;
    let data = c.load(0, &domain)?;
    c.engines[0].write(IOVA + page(1), 0)?;
    c.engines[1].write(IOVA + page(1), 1)?;
    expect_only(&buffer, PAGE, &data)
}

fn busy(c: &mut Context) -> Result {
    let (first, second) = (c.attached()?, c.domain()?);
    let function = c.engines[0].function.clone();
    let again = second.attach(&function, NO_PASID);
    expect_errno(again, Errno::EBUSY, "second domain")?;
    first.detach(&function, NO_PASID)?;
    second.attach(&function, NO_PASID)
}

fn replace(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(1)?;
    let first = c.attached()?;
    let second = c.domain()?;
    first.map(IOVA, buffer.phys, PAGE, prot::BOTH)?;
    second.map(IOVA, buffer.phys + page(1), PAGE, prot::BOTH)?;
    let data = c.load(0, &first)?;
    c.engines[0].write(IOVA, 0)?;
    expect_only(&buffer, 0, &data)?;
    second.replace(&c.engines[0].function, NO_PASID)?;
    buffer.memory.zero();
    let data = c.load(0, &second)?;
    c.engines[0].write(IOVA, 0)?;
    expect_only(&buffer, PAGE, &data)
}

fn tables_freed(c: &mut Context) -> Result {
    const RANGES: usize = 3;
    let buffer = c.ktest.buffer(9)?;
    let domain = c.attached()?;
    // A page that stays, so that the tables above are there all the time.
    domain.map(0, buffer.phys, PAGE, prot::BOTH)?;
    let before = stats::iommu_pages()?;
    let starts: Vec<u64> = (1..=RANGES).map(|index| (index * PAGE_1G) as u64).collect();
    for start in &starts {
        // The first 2 MiB in small leaves, because memory is one page off; the rest in large ones.
        domain.map(*start, buffer.phys + page(1), PAGE_2M - PAGE, prot::BOTH)?;
        domain.map(start + page(511), buffer.phys, PAGE, prot::BOTH)?;
        for offset in (PAGE_2M..PAGE_1G).step_by(PAGE_2M) {
            domain.map(start + offset as u64, buffer.phys, PAGE_2M, prot::BOTH)?;
        }
    }
    // A table of large leaves and one of small ones for each.
    let used = stats::iommu_pages()? - before;
    ensure!(
        used == 2 * RANGES as i64,
        "{used} pages of tables for {RANGES} GiB"
    );
    for start in starts {
        let unmapped = domain.unmap(start, PAGE_1G)?;
        ensure!(
            unmapped == PAGE_1G,
            "{unmapped:#x} bytes unmapped at {start:#x}"
        );
    }
    let left = stats::iommu_pages()? - before;
    ensure!(left == 0, "{left} of {used} pages of tables are left");
    let stays = domain.iova_to_phys(0)?;
    ensure!(
        stays == Some(buffer.phys),
        "the page that stays is at {stays:x?}"
    );
    Ok(())
}

/// An empty table that an unmap has left, in place of which comes a large leaf.
fn table_replaced(c: &mut Context) -> Result {
    let buffer = c.ktest.buffer(9)?;
    let domain = c.attached()?;
    // A page that stays, so that the tables above are there all the time.
    domain.map(0, buffer.phys, PAGE, prot::BOTH)?;
    domain.map(PAGE_2M as u64, buffer.phys, PAGE, prot::BOTH)?;
    // The unit has seen the table.
    let data = c.load(0, &domain)?;
    c.engines[0].write(PAGE_2M as u64, 0)?;
    expect_only(&buffer, 0, &data)?;
    buffer.memory.zero();
    domain.unmap(PAGE_2M as u64, PAGE)?;

    let (pages, waits) = (stats::iommu_pages()?, faults::counter("wait")?);
    domain.map(PAGE_2M as u64, buffer.phys, PAGE_2M, prot::BOTH)?;
    let freed = pages - stats::iommu_pages()?;
    ensure!(freed == 1, "{freed} pages of tables are freed");
    ensure!(
        faults::counter("wait")? > waits,
        "the table was freed before it was invalidated"
    );
    let range = tables::range_of(&c.engines[0].function, PAGE_2M as u64)?;
    let range = range.context("nothing is mapped")?;
    ensure!(range.leaf == "2M", "2 MiB are mapped as {range:?}");
    let data = c.load(0, &domain)?;
    c.engines[0].write(PAGE_2M as u64 + page(7), 0)?;
    expect_only(&buffer, 7 * PAGE, &data)
}

fn no_leak(c: &mut Context) -> Result {
    const CYCLES: usize = 1000;
    let buffer = c.ktest.buffer(9)?;
    let function = c.engines[0].function.clone();
    let cycles = |count: usize| -> Result {
        for _ in 0..count {
            let domain = c.domain()?;
            domain.map(IOVA, buffer.phys, PAGE_2M, prot::BOTH)?;
            domain.attach(&function, NO_PASID)?;
            domain.map(IOVA + PAGE_2M as u64, buffer.phys, 4 * PAGE, prot::BOTH)?;
            domain.unmap(IOVA, PAGE)?;
            domain.detach(&function, NO_PASID)?;
        }
        Ok(())
    };
    // Caches are filled before the count begins.
    cycles(50)?;
    let (pages, ids, slabs) = (
        stats::iommu_pages()?,
        faults::counter("domain-ids")?,
        stats::slabs()?,
    );
    cycles(CYCLES)?;
    let pages = stats::iommu_pages()? - pages;
    ensure!(pages == 0, "{pages} pages of tables leaked");
    let ids = faults::counter("domain-ids")? - ids;
    ensure!(ids == 0, "{ids} domain ids leaked");
    if !stats::has_exact_slabs() {
        return Ok(());
    }
    // One object lost per cycle would be as many; less is the noise of the rest of the kernel. What
    // is freed after a grace period takes its time.
    let mut leaked = String::new();
    let settled = poll::until("slab caches shrink", || {
        leaked.clear();
        for (name, (after, size)) in stats::slabs()? {
            let more = after - slabs.get(&name).map_or(0, |(before, _)| *before);
            if more >= CYCLES as i64 / 2 {
                leaked += &format!("{more} objects of {size} bytes in {name}; ");
            }
        }
        Ok(leaked.is_empty().then_some(()))
    });
    settled.context(leaked)
}

fn concurrent(c: &mut Context) -> Result {
    const ROUNDS: u64 = 400;
    let buffer = c.ktest.buffer(9)?;
    let domain = c.attached()?;
    // In one table of leaves: each thread has every second page, and a large leaf next door.
    let worker = |start: usize| -> Result {
        let large = IOVA + (1 + start as u64) * PAGE_2M as u64;
        let mut words = Words::new(start as u64);
        for _ in 0..ROUNDS {
            let index = words.below(256) as usize * 2 + start;
            let (iova, phys) = (IOVA + page(index), buffer.phys + page(index));
            domain.map(iova, phys, PAGE, prot::BOTH)?;
            domain.map(large, buffer.phys, PAGE_2M, prot::BOTH)?;
            let (small, inside) = (
                domain.iova_to_phys(iova)?,
                domain.iova_to_phys(large + page(index))?,
            );
            ensure!(
                small == Some(phys),
                "page {index} of thread {start}: {small:x?}"
            );
            ensure!(
                inside == Some(phys),
                "large leaf of thread {start}: {inside:x?}"
            );
            // Splits the leaf, and frees its table with the rest.
            ensure!(
                domain.unmap(large + page(index), PAGE)? == PAGE,
                "part of the leaf"
            );
            let rest = domain.unmap(large, PAGE_2M)?;
            ensure!(
                rest == index * PAGE,
                "{rest:#x} bytes before page {index} of the leaf"
            );
            let rest = domain.unmap(large + page(index + 1), PAGE_2M - (index + 1) * PAGE)?;
            ensure!(
                rest == PAGE_2M - (index + 1) * PAGE,
                "{rest:#x} bytes after page {index}"
            );
            ensure!(
                domain.unmap(iova, PAGE)? == PAGE,
                "page {index} of thread {start}"
            );
            ensure!(
                domain.iova_to_phys(iova)?.is_none(),
                "page {index} is still there"
            );
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|start| scope.spawn(move || worker(start)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?
        })
    })?;
    let data = c.load(0, &domain)?;
    domain.map(IOVA, buffer.phys, PAGE, prot::BOTH)?;
    c.engines[0].write(IOVA, 0)?;
    expect_only(&buffer, 0, &data)
}

/// The DMA API in a domain of its own, of a given type.
fn dma_api(c: &mut Context, kind: &str) -> Result {
    const MASK_BITS: u32 = 28;
    let function = c.engines[0].function.clone();
    function.unbind()?;
    function.set_domain_type(kind)?;
    c.ktest.take(&function)?;
    let engine = &c.engines[0];
    let buffer = c.ktest.buffer(1)?;
    let data = bytes(PAGE, 99);
    buffer.memory.write(0, &data);
    let source = buffer.dma_map(&function, 0, PAGE, Direction::ToDevice, MASK_BITS)?;
    let target = buffer.dma_map(&function, PAGE, PAGE, Direction::FromDevice, MASK_BITS)?;
    ensure!(
        source.max(target) >> MASK_BITS == 0,
        "addresses {source:#x} and {target:#x}"
    );
    let phys = c.ktest.current_phys(&function, target)?;
    if kind == "identity" {
        ensure!(phys == Some(target), "{target:#x} translates to {phys:x?}");
    } else {
        ensure!(
            phys == Some(buffer.phys + page(1)),
            "{target:#x} translates to {phys:x?}"
        );
    }
    faults::expect(&function, 0, || {
        engine.edu.read(source, PAGE)?;
        engine.edu.write(target, PAGE)
    })?;
    buffer.dma_unmap(&function, target)?;
    expect_equal("read and written", &buffer.memory.read(PAGE, PAGE), &data)?;
    if kind != "identity" {
        // The flush queue of DMA-FQ is emptied every 10 ms, and edu starts after 100.
        buffer.memory.zero();
        engine.write(target, 1)?;
        expect_only(&buffer, 0, &[])?;
    }
    buffer.dma_unmap(&function, source)
}

fn dma_api_goes_back(c: &mut Context) -> Result {
    let function = c.engines[0].function.clone();
    let busy = function.set_domain_type("identity");
    expect_errno(busy, Errno::EPERM, "type of a group whose device is in use")?;
    function.unbind()?;
    function.set_domain_type("DMA-FQ")?;
    c.ktest.take(&function)
}

fn main() -> ExitCode {
    expect_faults(20);
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("iova_to_phys is where the device writes", translation)
            .case(
                "the rest of a 2 MiB leaf stays when a part is unmapped",
                split,
            )
            .case(
                "an overlapping mapping is refused and changes nothing",
                overlap,
            )
            .case("what cannot be mapped is refused", errors)
            .case("two devices share a domain", two_devices)
            .case("an attached device is not attached again", busy)
            .case("a domain is replaced", replace)
            .case(
                "tables are freed when their range is unmapped",
                tables_freed,
            )
            .case(
                "a large leaf takes the place of an empty table",
                table_replaced,
            )
            .case("1000 domains leave nothing behind", no_leak)
            .case("two processors map and unmap side by side", concurrent)
            .case("DMA API, domain type DMA", |c| dma_api(c, "DMA"))
            .case("DMA API, domain type DMA-FQ", |c| dma_api(c, "DMA-FQ"))
            .case("DMA API, domain type identity", |c| dma_api(c, "identity"))
            .case("DMA API, domain type DMA again", |c| dma_api(c, "DMA"))
            .case(
                "the domain type of a device in use stays",
                dma_api_goes_back,
            )
            .run()
    })
}
