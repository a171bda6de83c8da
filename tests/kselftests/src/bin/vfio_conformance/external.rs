// SPDX-License-Identifier: GPL-2.0

//! Emulated devices: pins, copies and notifications, alone and beside devices behind an IOMMU.

use crate::raw::*;
use crate::Devices;
use nix::sys::resource::{setrlimit, Resource};
use siov_kselftests::child::{drop_ipc_lock, in_child};
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;

const RW: u32 = MAP_READ | MAP_WRITE;
const AT: u64 = 0x10_0000;

/// Memory whose pages can be told apart.
fn numbered(pages: usize) -> Result<Mapping> {
    let memory = Mapping::memory(pages * PAGE as usize)?;
    for page in 0..pages {
        memory.write64(page * PAGE as usize, 0x1000 + page as u64);
    }
    Ok(memory)
}

/// Each use with an emulated device alone, and with one behind an IOMMU in the container as well.
fn both(
    devices: &Devices,
    kind: u64,
    run: impl Fn(&mut Session, usize) -> Result,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let alone = vec![&devices.emulated[0]];
    let beside = vec![&devices.functions[0], &devices.emulated[0]];
    for nodes in [alone, beside] {
        let mut s = Session::with(&nodes, kind)?;
        s.note(format!("{} devices", nodes.len()));
        run(&mut s, nodes.len() - 1)?;
        s.account()?;
        lines.extend(std::mem::take(&mut s.lines));
        drop(s);
        let mut after = Session::empty()?;
        after.account()?;
        lines.extend(after.lines);
    }
    Ok(lines)
}

pub fn pins(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(64)?;
    let base = memory.address();
    both(devices, TYPE1V2, |s, device| {
        s.info(1024);
        s.pin(device, AT, 1, 3);
        s.map(RW, base, base, AT, 8 * PAGE);
        s.map(MAP_READ, base + 8 * PAGE, base, AT + 8 * PAGE, 8 * PAGE);
        s.map(MAP_WRITE, base + 16 * PAGE, base, AT + 16 * PAGE, 8 * PAGE);
        s.account()?;
        for (page, count, prot) in [
            (0, 0, 3),
            (0, 1, 3),
            (0, 1, 3),
            (0, 1, 0),
            (2, 4, 1),
            (6, 4, 1),
            (6, 4, 3),
            (7, 2, 2),
            (15, 2, 1),
            (15, 2, 2),
            (16, 1, 2),
            (16, 1, 3),
            (23, 1, 2),
            (23, 2, 2),
            (24, 1, 1),
            (0, 512, 1),
            (0, 513, 1),
            (0, 4096, 1),
        ] {
            s.pin(device, AT + page * PAGE, count, prot);
            s.account()?;
        }
        for iova in [AT + 1, AT + 0x800, u64::MAX - PAGE + 1, u64::MAX, 0] {
            s.pin(device, iova, 1, 1);
            s.pin(device, iova, 2, 1);
        }
        s.account()?;
        s.unpin(device, AT, 1);
        s.account()?;
        s.unpin(device, AT, 1);
        s.unpin(device, AT, 1);
        s.account()?;
        s.unpin(device, AT + 2 * PAGE, 4);
        s.account()?;
        // Those that are left are unpinned when they are told to be.
        s.unmap(0, AT + 8 * PAGE, 8 * PAGE);
        s.notified(device);
        s.account()?;
        s.ignore(device, 3);
        s.pin(device, AT, 3, 3);
        s.unmap(0, AT, 8 * PAGE);
        s.notified(device);
        s.unmap(UNMAP_ALL, 0, 0);
        s.notified(device);
        s.account()?;
        // Left pinned: closing the device lets go.
        s.map(RW, base, base, AT, 8 * PAGE);
        s.pin(device, AT, 4, 3);
        Ok(())
    })
}

pub fn copies(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(64)?;
    let base = memory.address();
    both(devices, TYPE1V2, |s, device| {
        s.map(RW, base, base, AT, 2 * PAGE);
        s.map(MAP_READ, base + 2 * PAGE, base, AT + 2 * PAGE, PAGE);
        s.map(MAP_WRITE, base + 3 * PAGE, base, AT + 3 * PAGE, PAGE);
        s.map(RW, base + 4 * PAGE, base, AT + 5 * PAGE, PAGE);
        for (offset, bytes) in [
            (0, 0),
            (0, 1),
            (0, PAGE),
            (0x800, PAGE),
            (PAGE, 2 * PAGE),
            (PAGE, 3 * PAGE),
            (2 * PAGE, PAGE),
            (3 * PAGE, 8),
            (4 * PAGE, 8),
            (5 * PAGE, PAGE),
            (5 * PAGE + 8, PAGE),
            (0, 6 * PAGE),
        ] {
            s.rw(device, AT + offset, bytes, None);
            s.rw(device, AT + offset, bytes, Some(0x42));
        }
        s.rw(device, u64::MAX - 7, 16, None);
        s.rw(device, 0, 8, None);
        // Memory that has gone meanwhile.
        let gone = Mapping::memory(PAGE as usize)?;
        s.map(RW, gone.address(), gone.address(), 0, PAGE);
        drop(gone);
        s.rw(device, 0, 8, None);
        s.rw(device, 0, 8, Some(1));
        let here: Vec<u64> = (0..8)
            .map(|page| memory.read64(page * PAGE as usize))
            .collect();
        s.note(format!("memory {here:x?}"));
        for page in 0..8 {
            memory.write64(page * PAGE as usize, 0x1000 + page as u64);
        }
        s.unmap(UNMAP_ALL, 0, 0);
        Ok(())
    })
}

pub fn version_1(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(8)?;
    let base = memory.address();
    both(devices, TYPE1, |s, device| {
        s.map(RW, base, base, AT, 8 * PAGE);
        s.pin(device, AT, 1, 1);
        s.rw(device, AT, 8, None);
        s.dirty(8, 1);
        s.unmap(0, AT, 8 * PAGE);
        Ok(())
    })
}

pub fn dirty(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(160)?;
    let base = memory.address();
    both(devices, TYPE1V2, |s, device| {
        s.map(RW, base, base, AT, 70 * PAGE);
        s.pin(device, AT + 5 * PAGE, 2, 3);
        s.dirty(8, 1);
        s.map(RW, base + 70 * PAGE, base, AT + 70 * PAGE, 3 * PAGE);
        s.map(RW, base + 80 * PAGE, base, AT + 80 * PAGE, 80 * PAGE);
        s.bitmap(false, AT, 160 * PAGE, 3, u64::MAX);
        s.pin(device, AT + 65 * PAGE, 3, 1);
        s.pin(device, AT + 71 * PAGE, 1, 2);
        s.rw(device, AT + 83 * PAGE + 8, 2 * PAGE, Some(7));
        s.rw(device, AT + 90 * PAGE, 2 * PAGE, None);
        s.bitmap(false, AT, 160 * PAGE, 3, 0);
        s.bitmap(false, AT, 160 * PAGE, 3, 0);
        s.bitmap(false, AT + 70 * PAGE, 3 * PAGE, 1, u64::MAX);
        s.unpin(device, AT + 65 * PAGE, 3);
        s.bitmap(false, AT, 160 * PAGE, 3, 0x5555);
        s.rw(device, AT + 10 * PAGE, 1, Some(1));
        s.bitmap(true, AT, 73 * PAGE, 2, 0);
        s.notified(device);
        s.dirty(8, 2);
        s.dirty(8, 1);
        s.bitmap(false, AT + 80 * PAGE, 80 * PAGE, 2, 0);
        s.bitmap(true, AT + 80 * PAGE, 80 * PAGE, 2, 0);
        s.dirty(8, 2);
        Ok(())
    })
}

/// Addresses cannot be updated while a driver may need them.
pub fn vaddr(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(8)?;
    let base = memory.address();
    both(devices, TYPE1V2, |s, device| {
        s.extension(10);
        s.map(RW, base, base, AT, 8 * PAGE);
        s.unmap(UNMAP_VADDR, AT, 8 * PAGE);
        s.unmap(UNMAP_VADDR | UNMAP_ALL, 0, 0);
        s.map(MAP_VADDR, base, base, AT, 8 * PAGE);
        s.pin(device, AT, 1, 1);
        Ok(())
    })
}

/// Groups of both kinds that come and go while memory is mapped and pinned.
pub fn coming_and_going(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(16)?;
    let base = memory.address();
    let nodes = [
        &devices.emulated[0],
        &devices.functions[0],
        &devices.emulated[1],
        &devices.functions[1],
    ];
    let mut lines = Vec::new();
    for first in 0..nodes.len() {
        let mut s = Session::with(&[nodes[first]], TYPE1V2)?;
        s.note(format!("group {first}"));
        s.map(RW, base, base, AT, 8 * PAGE);
        s.map(MAP_READ, base + 8 * PAGE, base, AT + 0x10_0000, 4 * PAGE);
        if first % 2 == 0 {
            s.pin(0, AT + PAGE, 3, 3);
        }
        s.account()?;
        for next in 1..nodes.len() {
            let mut group = Opened::new(nodes[(first + next) % nodes.len()])?;
            let joined = group.join(&s.container);
            let opened = group.open_device();
            s.note(format!("next joins: {}, {}", show(joined), show(opened)));
            s.opened.push(group);
            s.info(1024);
            s.account()?;
            if (first + next) % 2 == 0 {
                s.pin(next, AT + 2 * PAGE, 3, 1);
            }
        }
        s.account()?;
        for index in 0..nodes.len() {
            let left = s.opened[index].leave();
            s.note(format!("{index} leaves: {}", show(left)));
            s.info(1024);
            s.account()?;
        }
        lines.extend(s.lines);
    }
    Ok(lines)
}

/// Memory of an emulated device, some of it pinned, that a group behind an IOMMU cannot have:
/// nothing of it stays pinned for that group, or charged, and without the obstacle the group joins.
pub fn refused(devices: &Devices) -> Result<Vec<String>> {
    let memory = numbered(64)?;
    let base = memory.address();
    const HOLE: u64 = 44;
    // SAFETY: Filled below. What is allocated meanwhile is small, so it is on the heap, which grows
    // in its own place.
    unsafe { memory.punch(HOLE as usize * PAGE as usize, PAGE as usize) }?;
    let mut lines = Vec::new();
    // First page of the memory, address, pages.
    for (first, iova, pages) in [
        (HOLE - 4, 0x40_0000, 8),
        (HOLE, 0x40_0000, 8),
        (0, 0xfee0_0000, 1),
        (16, 0xfedf_f000, 4),
        (16, 1 << 60, 4),
        (20, u64::MAX - PAGE + 1, 1),
    ] {
        let mut s = Session::with(&[&devices.emulated[0]], TYPE1V2)?;
        s.map(RW, base, base, AT, 8 * PAGE);
        s.map(MAP_READ, base + 8 * PAGE, base, AT + 16 * PAGE, 8 * PAGE);
        s.map(RW, base + first * PAGE, base, iova, pages * PAGE);
        s.pin(0, AT + PAGE, 3, 3);
        s.pin(0, iova, 1, 1);
        join(&mut s, devices)?;
        s.pin(0, AT, 1, 1);
        s.unmap(0, iova, pages * PAGE);
        join(&mut s, devices)?;
        s.unpin(0, AT + 2 * PAGE, 2);
        s.account()?;
        lines.extend(s.lines);
    }
    lines.extend(in_child(|| {
        let mut s = Session::with(&[&devices.emulated[0]], TYPE1V2)?;
        s.map(RW, base, base, AT, 8 * PAGE);
        s.map(RW, base + 8 * PAGE, base, AT + 16 * PAGE, 8 * PAGE);
        drop_ipc_lock()?;
        for pages in [4, 8, 12, 15, 16] {
            setrlimit(Resource::RLIMIT_MEMLOCK, pages * PAGE, 64 * PAGE)?;
            s.unmap(UNMAP_ALL, 0, 0);
            s.map(RW, base, base, AT, 8 * PAGE);
            s.map(RW, base + 8 * PAGE, base, AT + 16 * PAGE, 8 * PAGE);
            s.pin(0, AT + PAGE, 3, 3);
            join(&mut s, devices)?;
        }
        Ok(s.lines)
    })?);
    memory.fill(HOLE as usize * PAGE as usize, PAGE as usize)?;
    Ok(lines)
}

/// Has a group join, and leave again.
fn join(s: &mut Session, devices: &Devices) -> Result {
    s.account()?;
    let mut group = Opened::new(&devices.functions[0])?;
    let joined = group.join(&s.container);
    s.note(format!("a group joins: {}", show(joined)));
    s.info(1024);
    s.account()?;
    let left = group.leave();
    s.note(format!("it leaves: {}", show(left)));
    s.info(1024);
    s.account()
}
