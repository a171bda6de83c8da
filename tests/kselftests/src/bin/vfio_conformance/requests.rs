// SPDX-License-Identifier: GPL-2.0

//! Requests in all shapes: each flag, structure size, alignment and range, right and wrong.

use crate::raw::*;
use crate::Devices;
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::PAGE_2M;
use std::fs::File;

const RW: u32 = MAP_READ | MAP_WRITE;
const SIZES: [u32; 12] = [0, 1, 8, 15, 16, 23, 24, 31, 32, 47, 48, u32::MAX];

pub fn before_attaching(_devices: &Devices) -> Result<Vec<String>> {
    let mut s = Session::empty()?;
    for extension in (0..16).chain([u64::MAX, 1 << 32, (1 << 32) | 1]) {
        s.extension(extension);
    }
    for kind in [TYPE1, TYPE1V2, 0, 6, 8] {
        let answer = s.set_iommu(kind);
        s.note(format!("set iommu {kind} without groups: {}", show(answer)));
    }
    s.info(24);
    s.map(RW, 0, 0, 0, PAGE);
    Ok(s.lines)
}

pub fn kinds(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for kind in [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        (1 << 32) | 1,
        u64::MAX,
    ] {
        let mut s = Session::empty()?;
        let group = Opened::new(&devices.functions[0])?;
        let joined = group.join(&s.container);
        s.note(format!("join: {}", show(joined)));
        let answer = s.set_iommu(kind);
        s.note(format!("set iommu {kind:#x}: {}", show(answer)));
        let answer = s.set_iommu(kind);
        s.note(format!("set iommu {kind:#x} again: {}", show(answer)));
        for extension in (0..16).chain([u64::MAX, (1 << 32) | 1]) {
            s.extension(extension);
        }
        lines.extend(s.lines);
    }
    Ok(lines)
}

pub fn info(devices: &Devices) -> Result<Vec<String>> {
    let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    for argsz in SIZES
        .into_iter()
        .chain([40, 56, 64, 88, 100, 103, 104, 119, 120, 135, 136, 1024])
    {
        s.info(argsz);
    }
    for pointer in BAD_POINTERS {
        let answer = s.with_bad_pointer(GET_INFO, pointer);
        s.note(format!("info at {pointer:#x}: {}", show(answer)));
    }
    for request in (0..24).map(|n| CHECK_EXTENSION - 1 + n) {
        if ![
            GET_INFO,
            MAP_DMA,
            UNMAP_DMA,
            DIRTY_PAGES,
            CHECK_EXTENSION,
            SET_IOMMU,
        ]
        .contains(&request)
        {
            let answer = s.with_bad_pointer(request, 0);
            s.note(format!("request {request:#x}: {}", show(answer)));
        }
    }
    let memory = Mapping::memory(4 * PAGE as usize)?;
    for index in 0..3 {
        s.map(RW, memory.address(), memory.address(), index * PAGE, PAGE);
        s.info(1024);
    }
    s.unmap(UNMAP_ALL, 0, 0);
    s.info(1024);
    Ok(s.lines)
}

pub fn map(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for kind in [TYPE1, TYPE1V2] {
        let mut s = Session::with(&[&devices.functions[0]], kind)?;
        let memory = Mapping::memory(16 * PAGE as usize)?;
        let base = memory.address();
        for argsz in SIZES {
            let answer = s.map_raw(argsz, RW, base, 0x10_0000, PAGE);
            s.note(format!("map argsz {argsz}: {}", show(answer)));
            s.unmap(0, 0x10_0000, PAGE);
        }
        for pointer in BAD_POINTERS {
            let answer = s.with_bad_pointer(MAP_DMA, pointer);
            s.note(format!("map at {pointer:#x}: {}", show(answer)));
        }
        for flags in (0..16).chain([1 << 31, u32::MAX]) {
            for size in [0, PAGE, u64::MAX] {
                s.map(flags, base, base, 0x20_0000, size);
            }
            s.unmap(0, 0x20_0000, PAGE);
        }
        // Alignment, in all combinations.
        for bits in 0..8u64 {
            let off = |bit: u64, by: u64| if bits & bit != 0 { by } else { 0 };
            for by in [1, 8, 0x200, 0x800, 0xfff] {
                s.map(
                    RW,
                    base + off(1, by),
                    base,
                    0x30_0000 + off(2, by),
                    PAGE + off(4, by),
                );
                s.unmap(0, 0x30_0000, PAGE);
            }
        }
        // Ends of the address space, of devices and of the process.
        for (vaddr, iova, size) in [
            (base, u64::MAX - PAGE + 1, PAGE),
            (base, u64::MAX - PAGE + 1, 2 * PAGE),
            (base, 0, u64::MAX),
            (base, PAGE, u64::MAX - PAGE + 1),
            (base, 0, u64::MAX - PAGE + 1),
            (u64::MAX - PAGE + 1, 0, PAGE),
            (u64::MAX - PAGE + 1, 0, 2 * PAGE),
            (0, 0, PAGE),
            (0x7fff_ffff_f000, 0, PAGE),
            (0x8000_0000_0000, 0, PAGE),
            (0xffff_8000_0000_0000, 0, PAGE),
            (base, 1 << 38, PAGE),
            (base, (1 << 39) - PAGE, PAGE),
            (base, (1 << 39) - PAGE, 2 * PAGE),
            (base, 1 << 39, PAGE),
            (base, (1 << 48) - PAGE, PAGE),
            (base, 1 << 48, PAGE),
            (base, (1 << 57) - PAGE, PAGE),
            (base, 1 << 63, PAGE),
            (base, 0xfedf_f000, PAGE),
            (base, 0xfedf_f000, 2 * PAGE),
            (base, 0xfee0_0000, PAGE),
            (base, 0xfeef_f000, PAGE),
            (base, 0xfef0_0000, PAGE),
        ] {
            let answer = s.map_raw(32, RW, vaddr, iova, size);
            let own = if vaddr == base {
                "memory".into()
            } else {
                format!("{vaddr:#x}")
            };
            s.note(format!(
                "map {own} iova {iova:#x} size {size:#x}: {}",
                show(answer)
            ));
            s.unmap(0, iova, PAGE);
        }
        // Overlaps.
        s.map(RW, base, base, 0x40_0000, 4 * PAGE);
        for first in 0..6u64 {
            for pages in 1..=6 {
                s.map(
                    RW,
                    base,
                    base,
                    0x40_0000 - PAGE + first * PAGE,
                    pages * PAGE,
                );
                if first == 0 && pages == 1 {
                    s.unmap(0, 0x40_0000 - PAGE, PAGE);
                }
            }
        }
        s.unmap(UNMAP_ALL, 0, 0);
        s.account()?;
        lines.extend(s.lines);
    }
    Ok(lines)
}

pub fn unmap(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for kind in [TYPE1, TYPE1V2] {
        let mut s = Session::with(&[&devices.functions[0]], kind)?;
        let memory = Mapping::memory(16 * PAGE as usize)?;
        let base = memory.address();
        let at = 0x10_0000;
        for argsz in SIZES {
            s.map(RW, base, base, at, PAGE);
            let (answer, done) = s.unmap_raw(argsz, 0, at, PAGE);
            s.note(format!("unmap argsz {argsz}: {}, {done:#x}", show(answer)));
        }
        for flags in (0..16).chain([1 << 31, u32::MAX]) {
            for argsz in [24, 47, 48] {
                for (iova, size) in [(at, PAGE), (0, 0), (at, 0), (0, PAGE)] {
                    s.map(RW, base, base, at, PAGE);
                    let (answer, done) = s.unmap_raw(argsz, flags, iova, size);
                    s.note(format!(
                        "unmap argsz {argsz} flags {flags:#x} iova {iova:#x} size {size:#x}: {}, {done:#x}",
                        show(answer)
                    ));
                    s.map(MAP_VADDR, base, base, at, PAGE);
                }
            }
        }
        for pointer in BAD_POINTERS {
            let answer = s.with_bad_pointer(UNMAP_DMA, pointer);
            s.note(format!("unmap at {pointer:#x}: {}", show(answer)));
        }
        s.unmap(UNMAP_ALL, 0, 0);
        for (iova, size) in [
            (1, PAGE),
            (at + 1, PAGE),
            (at, PAGE + 1),
            (at, PAGE - 1),
            (0, u64::MAX),
            (0, u64::MAX - PAGE + 1),
            (PAGE, u64::MAX - PAGE + 1),
            (PAGE, !(PAGE - 1)),
            (u64::MAX - PAGE + 1, PAGE),
            (u64::MAX - PAGE + 1, 2 * PAGE),
            (1 << 63, 1 << 63),
        ] {
            s.map(RW, base, base, at, PAGE);
            s.unmap(0, iova, size);
        }
        // Three mappings with a hole, and each range around them.
        s.unmap(UNMAP_ALL, 0, 0);
        for first in 0..9u64 {
            for pages in 1..=(9 - first) {
                for (start, len) in [(1, 2), (3, 1), (5, 3)] {
                    s.map(RW, base, base, at + start * PAGE, len * PAGE);
                }
                s.unmap(0, at + first * PAGE, pages * PAGE);
                s.account()?;
                s.unmap(UNMAP_ALL, 0, 0);
            }
        }
        s.account()?;
        lines.extend(s.lines);
    }
    Ok(lines)
}

pub fn vaddr(devices: &Devices) -> Result<Vec<String>> {
    let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    let memory = Mapping::memory(16 * PAGE as usize)?;
    let base = memory.address();
    let at = |page: u64| 0x10_0000 + page * PAGE;
    for (page, len) in [(0, 2), (2, 1), (4, 4)] {
        s.map(RW, base + page * PAGE, base, at(page), len * PAGE);
    }
    s.map(MAP_VADDR, base, base, at(0), 2 * PAGE);
    s.unmap(UNMAP_VADDR, at(0), PAGE);
    s.unmap(UNMAP_VADDR, at(1), 2 * PAGE);
    s.unmap(UNMAP_VADDR, at(2), PAGE);
    s.unmap(UNMAP_VADDR, at(2), PAGE);
    // One of these has no address already: none is changed.
    s.unmap(UNMAP_VADDR, at(0), 8 * PAGE);
    s.map(MAP_VADDR, base, base, at(0), 2 * PAGE);
    for (page, len) in [(2, 2), (1, 2), (3, 1), (9, 1)] {
        s.map(MAP_VADDR, base, base, at(page), len * PAGE);
    }
    // A group cannot join meanwhile.
    let late = Opened::new(&devices.functions[1])?;
    let joined = late.join(&s.container);
    s.note(format!("second group joins: {}", show(joined)));
    s.map(RW, base, base, at(10), PAGE);
    s.map(MAP_VADDR, base + PAGE, base, at(2), PAGE);
    s.map(MAP_VADDR, base + PAGE, base, at(2), PAGE);
    let joined = late.join(&s.container);
    s.note(format!("second group joins: {}", show(joined)));
    s.unmap(UNMAP_VADDR | UNMAP_ALL, 0, 0);
    s.unmap(UNMAP_VADDR | UNMAP_ALL, 0, 0);
    s.unmap(0, at(0), 2 * PAGE);
    s.account()?;
    s.unmap(UNMAP_ALL, 0, 0);
    s.map(RW, base, base, at(0), PAGE);
    s.unmap(UNMAP_ALL, 0, 0);
    s.account()?;
    Ok(s.lines)
}

pub fn dirty(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for kind in [TYPE1, TYPE1V2] {
        let mut s = Session::with(&[&devices.functions[0]], kind)?;
        let memory = Mapping::memory(256 * PAGE as usize)?;
        let base = memory.address();
        for argsz in SIZES {
            for flags in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX] {
                s.dirty(argsz, flags);
            }
        }
        s.dirty(8, 2);
        let at = 0x10_0000;
        s.map(RW, base, base, at, 3 * PAGE);
        s.bitmap(false, at, 3 * PAGE, 1, 0);
        s.bitmap(true, at, 3 * PAGE, 1, 0);
        s.dirty(8, 1);
        s.dirty(8, 1);
        s.map(RW, base, base, at + 3 * PAGE, 70 * PAGE);
        s.map(RW, base, base, at + 80 * PAGE, PAGE);
        for (page, pages, words) in [
            (0, 3, 1),
            (0, 3, 0),
            (0, 73, 2),
            (0, 73, 1),
            (3, 70, 2),
            (0, 100, 2),
            (1, 72, 2),
            (0, 72, 2),
            (81, 1, 1),
            (80, 1, 1),
            (90, 10, 1),
        ] {
            s.bitmap(false, at + page * PAGE, pages * PAGE, words, 0);
            s.bitmap(false, at + page * PAGE, pages * PAGE, words, u64::MAX);
        }
        let data = base + 128 * PAGE;
        for (argsz, iova, size, pgsize, bytes, data) in [
            (47, at, PAGE, PAGE, 8, data),
            (48, at, 3 * PAGE, 2 * PAGE, 8, data),
            (48, at, 3 * PAGE, 1, 8, data),
            (48, at, 3 * PAGE, PAGE_2M as u64, 8, data),
            (48, at, 3 * PAGE, PAGE + 1, 1 << 20, data),
            (48, at, 3 * PAGE, PAGE, 7, data),
            (48, at, 3 * PAGE, PAGE, (1 << 28) + 1, data),
            (48, at, 3 * PAGE, PAGE, 1 << 28, data),
            (48, at, 3 * PAGE, PAGE, u64::MAX, data),
            (48, at, 0, PAGE, 8, data),
            (48, at + 1, 3 * PAGE, PAGE, 8, data),
            (48, at, 3 * PAGE + 1, PAGE, 8, data),
            (48, at, u64::MAX, PAGE, 1 << 28, data),
            (48, u64::MAX - PAGE + 1, 2 * PAGE, PAGE, 8, data),
            (48, at, 3 * PAGE, PAGE, 8, 0),
            (48, at, 3 * PAGE, PAGE, 8, u64::MAX - 15),
            (48, at, 3 * PAGE, PAGE, 8, 0xffff_8000_0000_0000),
            (48, at, 3 * PAGE, PAGE, 8, data + 1),
        ] {
            let bitmap = (pgsize, bytes, data);
            // SAFETY: Half of the mapping is behind `data`, more than what is mapped has bits;
            // nothing is mapped at the other addresses.
            let answer = unsafe { s.get_bitmap_raw(argsz, iova, size, bitmap) };
            s.note(format!(
                "bitmap argsz {argsz} iova {iova:#x} size {size:#x} pgsize {pgsize:#x} bytes {bytes:#x}: {}",
                show(answer)
            ));
            // SAFETY: As above.
            let (answer, done) =
                unsafe { s.unmap_with_bitmap(argsz, UNMAP_DIRTY, iova, size, bitmap) };
            s.note(format!("same, unmapping: {}, {done:#x}", show(answer)));
            s.map(RW, base, base, at, 3 * PAGE);
        }
        s.bitmap(true, at, 73 * PAGE, 2, u64::MAX);
        s.bitmap(true, at, 100 * PAGE, 2, u64::MAX);
        s.dirty(8, 2);
        s.dirty(8, 2);
        s.account()?;
        lines.extend(s.lines);
    }
    Ok(lines)
}

/// What memory may be mapped.
pub fn memory(devices: &Devices) -> Result<Vec<String>> {
    let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    let at = 1 << 32;

    // Not present, read-only, without access, with a hole.
    let fresh = Mapping::fresh(64 * PAGE as usize)?;
    s.map(MAP_READ, fresh.address(), fresh.address(), at, 64 * PAGE);
    s.account()?;
    s.unmap(0, at, 64 * PAGE);
    s.account()?;
    for protection in [
        libc::PROT_READ,
        libc::PROT_NONE,
        libc::PROT_WRITE,
        libc::PROT_EXEC,
    ] {
        let memory = Mapping::memory(4 * PAGE as usize)?;
        memory.protect(0, 4 * PAGE as usize, protection)?;
        for flags in [MAP_READ, MAP_WRITE, RW] {
            s.map(flags, memory.address(), memory.address(), at, 4 * PAGE);
            s.unmap(0, at, 4 * PAGE);
        }
        memory.protect(0, 4 * PAGE as usize, libc::PROT_READ | libc::PROT_WRITE)?;
        memory.protect(PAGE as usize * 2, PAGE as usize, protection)?;
        s.map(RW, memory.address(), memory.address(), at, 4 * PAGE);
        s.account()?;
        s.unmap(0, at, 4 * PAGE);
    }
    let memory = Mapping::memory(1024 * PAGE as usize)?;
    for hole in [0, 1, 511, 512, 513, 1000, 1023] {
        // SAFETY: Filled below. What is allocated meanwhile is small, so it is on the heap, which
        // grows in its own place, or given an address.
        unsafe { memory.punch(hole * PAGE as usize, PAGE as usize) }?;
        s.map(RW, memory.address(), memory.address(), at, 1024 * PAGE);
        s.account()?;
        s.unmap(0, at, 1024 * PAGE);
        memory.fill(hole * PAGE as usize, PAGE as usize)?;
    }
    // Read-only files, and files that end early.
    let file = File::open("/proc/self/exe")?;
    let program = Mapping::of_file_private(&file, 0, 8 * PAGE as usize)?;
    for flags in [MAP_READ, MAP_WRITE, RW] {
        s.map(flags, program.address(), program.address(), at, 8 * PAGE);
        s.account()?;
        s.unmap(0, at, 8 * PAGE);
    }
    let path = "/dev/shm/vfio_conformance";
    let file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)?;
    file.set_len(2 * PAGE)?;
    let shared = Mapping::of_file(&file, 0, 4 * PAGE as usize)?;
    for pages in [2, 4] {
        s.map(RW, shared.address(), shared.address(), at, pages * PAGE);
        s.account()?;
        s.unmap(0, at, pages * PAGE);
    }
    std::fs::remove_file(path)?;
    // The same memory twice, and pages in another order than in memory.
    s.map(RW, shared.address(), shared.address(), at, PAGE);
    s.map(RW, shared.address(), shared.address(), at + PAGE, PAGE);
    s.account()?;
    s.unmap(0, at, 2 * PAGE);
    s.account()?;
    // Registers of a device, which have no pages behind them.
    for bar in [0u32, 1, 2] {
        let Ok(registers) = devices.resource(bar) else {
            continue;
        };
        let size = registers.len() as u64;
        for flags in [MAP_READ, RW] {
            for len in [PAGE, size] {
                let answer = s.map_raw(32, flags, registers.address(), at, len);
                s.note(format!(
                    "map bar {bar} flags {flags} size {len:#x}: {}",
                    show(answer)
                ));
                s.account()?;
                s.unmap(0, at, len);
            }
        }
    }
    // Huge pages, whole and cut.
    let huge = Mapping::huge_pages(4 * PAGE_2M, 21)?;
    for (offset, size) in [
        (0, 4 * PAGE_2M),
        (PAGE as usize, PAGE_2M),
        (0, PAGE_2M + 3 * PAGE as usize),
    ] {
        for iova in [at, at + PAGE] {
            let (vaddr, size) = (huge.address() + offset as u64, size as u64);
            s.map(RW, vaddr, huge.address(), iova, size);
            s.account()?;
            s.unmap(0, iova, size);
            s.account()?;
        }
    }
    Ok(s.lines)
}

/// Groups and containers, in several orders.
pub fn groups(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let memory = Mapping::memory(16 * PAGE as usize)?;
    let base = memory.address();
    for kind in [TYPE1, TYPE1V2] {
        for order in [[0, 1], [1, 0]] {
            let mut s = Session::with(&[&devices.functions[0]], kind)?;
            s.map(RW, base, base, 0x10_0000, 4 * PAGE);
            s.info(1024);
            let mut second = Opened::new(&devices.functions[1])?;
            let answer = second.join(&s.container);
            s.note(format!("second joins: {}", show(answer)));
            let answer = second.join(&s.container);
            s.note(format!("second joins again: {}", show(answer)));
            let answer = second.open_device();
            s.note(format!("second device: {}", show(answer)));
            s.info(1024);
            s.map(RW, base, base, 0x20_0000, 4 * PAGE);
            s.account()?;
            s.opened.push(second);
            for index in order {
                let answer = s.opened[index].leave();
                s.note(format!("group {index} leaves: {}", show(answer)));
                s.info(1024);
                s.account()?;
                s.map(RW, base, base, 0x30_0000 + index as u64 * 0x10_0000, PAGE);
            }
            lines.extend(s.lines);
        }
    }
    // Two containers.
    let mut first = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    let mut second = Session::with(&[&devices.functions[1]], TYPE1V2)?;
    for s in [&mut first, &mut second] {
        s.map(RW, base, base, 0x10_0000, 4 * PAGE);
        s.account()?;
    }
    let intruder = Opened::new(&devices.functions[0]);
    first.note(format!(
        "group of another container opens: {}",
        intruder.is_ok()
    ));
    first.unmap(UNMAP_ALL, 0, 0);
    first.account()?;
    second.unmap(0, 0x10_0000, 4 * PAGE);
    second.account()?;
    lines.extend(first.lines);
    lines.extend(second.lines);
    Ok(lines)
}

/// More mappings than there may be.
pub fn entry_limit(devices: &Devices) -> Result<Vec<String>> {
    std::fs::write(
        "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
        "5",
    )?;
    let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    std::fs::write(
        "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
        "65535",
    )?;
    let memory = Mapping::memory(PAGE as usize)?;
    let base = memory.address();
    for index in 0..7 {
        s.map(RW, base, base, index * PAGE, PAGE);
        s.info(1024);
    }
    // What fails for another reason does not count, and neither does what is gone.
    s.unmap(0, 0, 2 * PAGE);
    s.map(RW, 0, 0, 0, PAGE);
    s.info(1024);
    s.map(RW, base, base, 0, PAGE);
    s.map(RW, base, base, PAGE, PAGE);
    s.map(RW, base, base, 2 * PAGE, PAGE);
    s.unmap(UNMAP_ALL, 0, 0);
    s.info(1024);
    Ok(s.lines)
}

/// Every page on its own.
pub fn no_huge_pages(devices: &Devices) -> Result<Vec<String>> {
    let parameter = "/sys/module/vfio_iommu_type1/parameters/disable_hugepages";
    std::fs::write(parameter, "1")?;
    let mut s = Session::with(&[&devices.functions[0]], TYPE1V2)?;
    let huge = Mapping::huge_pages(PAGE_2M, 21)?;
    let memory = Mapping::memory(600 * PAGE as usize)?;
    s.map(RW, huge.address(), huge.address(), 0, PAGE_2M as u64);
    s.map(
        RW,
        memory.address(),
        memory.address(),
        PAGE_2M as u64,
        600 * PAGE,
    );
    s.account()?;
    std::fs::write(parameter, "0")?;
    s.unmap(0, 0, PAGE_2M as u64);
    s.unmap(0, PAGE_2M as u64, 600 * PAGE);
    s.account()?;
    Ok(s.lines)
}
