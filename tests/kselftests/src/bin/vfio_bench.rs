// SPDX-License-Identifier: GPL-2.0

//! Counts what requests to a VFIO container cost, for a guest under -icount, where a nanosecond is
//! an instruction. `--stock` measures the shipped type1 driver, else ours.

use anyhow::{ensure, Context};
use siov_kselftests::frames;
use siov_kselftests::kernel_module;
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::stats::{meminfo, slabs};
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{PAGE, PAGE_2M};
use std::time::Instant;

/// Memory of the large mappings.
const LARGE: usize = 64 << 20;
const IOVA: u64 = 1 << 32;
/// Each figure is the least of this many.
const ROUNDS: usize = 4;
const SMALL_MAPPINGS: usize = 1000;
const MANY_MAPPINGS: usize = 60_000;

/// What a piece of work takes in nanoseconds.
fn time(work: impl FnOnce() -> Result) -> Result<u64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_nanos() as u64)
}

fn figure(value: f64, unit: &str, name: &str) {
    println!("# bench {value:.2} {unit} {name}");
}

/// Maps and unmaps `len` bytes at `address`; a figure for each, per 4 KiB.
fn large(container: &Container, address: u64, what: &str) -> Result {
    let (mut map, mut unmap) = (u64::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        map = map.min(time(|| {
            container.map_address(IOVA, address, LARGE, Access::ReadWrite)
        })?);
        unmap = unmap.min(time(|| container.unmap(IOVA, LARGE))?);
    }
    let runs = frames::runs(address, LARGE)?;
    figure(
        runs as f64,
        "runs",
        &format!("frames in order, 64 MiB of {what}"),
    );
    let per_page = |total: u64| total as f64 / (LARGE / PAGE) as f64;
    figure(
        per_page(map),
        "insn",
        &format!("map 64 MiB of {what}, per 4 KiB"),
    );
    figure(
        per_page(unmap),
        "insn",
        &format!("unmap 64 MiB of {what}, per 4 KiB"),
    );
    Ok(())
}

/// [`LARGE`] bytes of transparent huge pages, from [`aligned`] on.
fn transparent() -> Result<Mapping> {
    let memory = Mapping::transparent_huge_pages(LARGE + PAGE_2M)?;
    ensure!(
        meminfo("AnonHugePages")? >= LARGE as u64,
        "no transparent huge pages"
    );
    Ok(memory)
}

/// [`LARGE`] bytes from [`aligned`] on, of base pages that follow each other in memory, but for
/// those that are not `kept`, by their number: as the kernel splits a huge page, it replaces pages
/// of zeroes.
fn split(kept: impl Fn(usize) -> bool) -> Result<Mapping> {
    let memory = transparent()?;
    (0..memory.len() / PAGE)
        .filter(|page| kept(*page))
        .for_each(|page| memory.write(page * PAGE, &[1]));
    frames::split(aligned(&memory), LARGE)?;
    ensure!(meminfo("AnonHugePages")? < LARGE as u64, "nothing is split");
    Ok(memory)
}

/// The first multiple of 2 MiB in a mapping that has 2 MiB to spare.
fn aligned(memory: &Mapping) -> u64 {
    memory.address().next_multiple_of(PAGE_2M as u64)
}

/// Pages that follow each other in this process and nowhere else: those of a file in memory,
/// written in an order that tears apart what the kernel hands out in order.
fn scattered(len: usize) -> Result<(std::fs::File, Mapping)> {
    let path = "/dev/shm/vfio_bench";
    let file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)?;
    std::fs::remove_file(path)?;
    file.set_len(len as u64)?;
    let memory = Mapping::of_file(&file, 0, len)?;
    let pages = len / PAGE;
    // An odd step visits each page of a power of two once.
    for index in 0..pages {
        memory.write(index.wrapping_mul(5) % pages * PAGE, &[1]);
    }
    Ok((file, memory))
}

fn small(container: &Container, memory: &Mapping) -> Result {
    let iova = |index: usize| IOVA + (index * 2 * PAGE) as u64;
    let (mut map, mut unmap) = (u64::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        map = map.min(time(|| {
            (0..SMALL_MAPPINGS).try_for_each(|index| {
                container.map(iova(index), memory, index * PAGE, PAGE, Access::ReadWrite)
            })
        })?);
        unmap = unmap.min(time(|| {
            (0..SMALL_MAPPINGS).try_for_each(|index| container.unmap(iova(index), PAGE))
        })?);
    }
    let each = |total: u64| total as f64 / SMALL_MAPPINGS as f64;
    figure(each(map), "insn", "map 4 KiB, one of 1000 mappings");
    figure(each(unmap), "insn", "unmap 4 KiB, one of 1000 mappings");
    Ok(())
}

fn many(container: &Container, memory: &Mapping) -> Result {
    let iova = |index: usize| IOVA + (index * 2 * PAGE) as u64;
    let before = slabs()?;
    for index in 0..MANY_MAPPINGS {
        container.map(iova(index), memory, 0, PAGE, Access::ReadWrite)?;
    }
    let after = slabs()?;
    let mut unmap = u64::MAX;
    for index in (0..MANY_MAPPINGS).step_by(MANY_MAPPINGS / 16) {
        unmap = unmap.min(time(|| container.unmap(iova(index), PAGE))?);
    }
    figure(unmap as f64, "insn", "unmap 4 KiB, one of 60000 mappings");
    // Each mapping has as many objects of a cache, but for some that the cache had in reserve.
    let each: i64 = after
        .iter()
        .map(|(name, (active, size))| {
            let before = before.get(name).map_or(0, |(active, _)| *active);
            let objects = (active - before) as f64 / MANY_MAPPINGS as f64;
            objects.round() as i64 * size
        })
        .sum();
    figure(each as f64, "bytes", "memory per mapping");
    Ok(())
}

fn run() -> Result {
    if std::env::args().any(|word| word == "--stock") {
        kernel_module::modprobe("vfio", "")?;
        // vfio asks for ours (a soft dependency).
        if kernel_module::is_loaded("vfio_iommu_type1") {
            kernel_module::unload("vfio_iommu_type1")?;
        }
        kernel_module::load_stock("vfio_iommu_type1", "allow_unsafe_interrupts=1")?;
    }
    let function = Function::all(EDU)?.into_iter().next().context("no edu")?;
    let mut container = Container::new()?;
    let _device = container.add(&function)?;
    // What boot left to be done is done by then.
    std::thread::sleep(std::time::Duration::from_secs(2));

    let pages = Mapping::memory(LARGE)?;
    large(&container, pages.address(), "4 KiB pages")?;
    small(&container, &pages)?;
    many(&container, &pages)?;
    container.unmap_all()?;
    drop(pages);

    let (_file, pages) = scattered(LARGE)?;
    large(&container, pages.address(), "scattered 4 KiB pages")?;
    drop(pages);

    let in_order = split(|_| true)?;
    large(&container, aligned(&in_order), "4 KiB pages in order")?;
    drop(in_order);

    let mostly = split(|page| page % 8 != 0)?;
    large(&container, aligned(&mostly), "4 KiB pages, 7 of 8 in order")?;
    drop(mostly);

    let transparent = transparent()?;
    large(&container, aligned(&transparent), "transparent 2 MiB pages")?;
    drop(transparent);

    let huge = Mapping::huge_pages(LARGE, 21)?;
    large(&container, huge.address(), "hugetlb 2 MiB pages")
}

fn main() -> Result {
    run()
}
