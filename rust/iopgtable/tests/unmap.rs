// SPDX-License-Identifier: GPL-2.0

//! Unmapping: where it stops, which tables go, how large pages are split.

#![forbid(unsafe_code)]

mod common;

use common::memory::Memory;
use common::walker::{Stage, Walker};
use common::{finish, gather, table, G1, K4, M2};
use siov_iopgtable::{FirstStage, LeafSize, Levels, PageTable, Prot, SecondStage, Unmapped};
use siov_types::{Iova, IovaRange, PhysAddr};

const READ_WRITE: Prot = Prot::READ.union(Prot::WRITE);

const NOTHING: Unmapped = Unmapped {
    bytes: 0,
    touched: None,
};

fn map<F: Stage>(table: &PageTable<F, Memory>, iova: u64, phys: u64, len: u64) {
    let mut held = gather(table.memory());
    let mapped = table.map(
        Iova::new(iova),
        PhysAddr::new(phys),
        len,
        READ_WRITE,
        (),
        &mut held,
    );
    assert_eq!(mapped, (len, Ok(())));
    held.invalidate();
}

fn unmap<F: Stage>(table: &PageTable<F, Memory>, iova: u64, len: u64) -> Unmapped {
    let mut held = gather(table.memory());
    let unmapped = table.unmap(Iova::new(iova), len, (), &mut held);
    held.invalidate();
    unmapped
}

fn removed(iova: u64, bytes: u64) -> Unmapped {
    Unmapped {
        bytes,
        touched: IovaRange::from_len(Iova::new(iova), bytes),
    }
}

#[test]
fn arguments_are_checked() {
    let (table, memory) = table::<SecondStage>(Levels::Three, LeafSize::Size1G, true);
    map(&table, 0, 0, G1);
    let end = 1 << 39;
    map(&table, end - K4, 0, K4);
    for (iova, len) in [
        (0, 0),
        (0x800, K4),
        (0, K4 + 1),
        (0, 0x800),
        (end, K4),
        (end - K4, 2 * K4),
        (u64::MAX - K4 + 1, K4),
        (u64::MAX - K4 + 1, 2 * K4),
        (K4, u64::MAX - K4 + 1),
    ] {
        assert_eq!(unmap(&table, iova, len), NOTHING, "{iova:#x} {len:#x}");
    }
    assert_eq!(unmap(&table, end - K4, K4), removed(end - K4, K4));
    assert_eq!(unmap(&table, 0, G1), removed(0, G1));
    finish(table, &memory);
}

/// Runs of 1 to 40 pages, each from every offset of a cache line, with a hole at each place.
#[test]
fn a_hole_ends_a_run() {
    let (table, memory) = table::<FirstStage>(Levels::Four, LeafSize::Size4K, false);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    for start in 0..9 {
        for pages in 1..40 {
            for hole in 0..pages {
                map(&table, 0, G1, 60 * K4);
                assert_eq!(unmap(&table, (start + hole) * K4, K4).bytes, K4);
                assert_eq!(
                    unmap(&table, start * K4, pages * K4),
                    removed(start * K4, hole * K4)
                );
                for page in 0..60 {
                    let seen = walker.translate::<FirstStage>(page * K4).map(|t| t.phys);
                    let gone = (start..=start + hole).contains(&page);
                    assert_eq!(seen, (!gone).then_some(G1 + page * K4));
                }
                assert_eq!(unmap(&table, 0, start * K4).bytes, start * K4);
                let rest = start + hole + 1;
                assert_eq!(
                    unmap(&table, rest * K4, (60 - rest) * K4).bytes,
                    (60 - rest) * K4
                );
            }
        }
    }
    finish(table, &memory);
}

#[test]
fn a_covered_table_is_gathered_a_partly_covered_one_stays() {
    for coherent in [true, false] {
        let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
        map(&table, 0, 0, 3 * M2);
        assert_eq!(memory.live(), 6);
        let mut held = gather(&memory);
        let mut unmap = |iova, len| table.unmap(Iova::new(iova), len, (), &mut held);
        // From the middle of the first table to the middle of the last.
        assert_eq!(unmap(K4, 3 * M2 - 2 * K4), removed(K4, 3 * M2 - 2 * K4));
        assert_eq!(held.len(), 1);
        assert_eq!(memory.live(), 6, "a gathered table is not free yet");
        assert_eq!(walker.tables::<SecondStage>().len(), 5);
        held.invalidate();
        assert_eq!(memory.live(), 5);
        assert!(walker.translate::<SecondStage>(0).is_some());
        assert!(walker.translate::<SecondStage>(3 * M2 - K4).is_some());
        assert!(walker.translate::<SecondStage>(M2).is_none());
        finish(table, &memory);
    }
}

#[test]
fn exactly_one_table_is_gathered() {
    for coherent in [true, false] {
        let (table, memory) = table::<FirstStage>(Levels::Five, LeafSize::Size4K, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Five);
        map(&table, G1, 0, 2 * M2);
        assert_eq!(unmap(&table, G1, M2), removed(G1, M2));
        assert_eq!(memory.live(), 5);
        assert!(walker.translate::<FirstStage>(G1 + M2 - K4).is_none());
        assert!(walker.translate::<FirstStage>(G1 + M2).is_some());
        finish(table, &memory);
    }
}

#[test]
fn the_last_page_of_a_table_leaves_the_table() {
    // All entries go, but by ranges that do not cover it.
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, false);
    map(&table, 0, 0, M2);
    assert_eq!(unmap(&table, 0, M2 - K4).bytes, M2 - K4);
    assert_eq!(unmap(&table, M2 - K4, K4).bytes, K4);
    assert_eq!(memory.live(), 4);
    // An empty table is a hole like any other.
    assert_eq!(unmap(&table, 0, M2), NOTHING);
    assert_eq!(unmap(&table, 0, G1), NOTHING);
    assert_eq!(memory.live(), 4);
    finish(table, &memory);
}

#[test]
fn tables_of_all_levels_are_gathered() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, false);
    map(&table, 0, 0, G1 + M2);
    assert_eq!(memory.live(), 2 + 1 + 512 + 1 + 1);
    let mut held = gather(&memory);
    let unmapped = table.unmap(Iova::new(0), G1, (), &mut held);
    assert_eq!(unmapped, removed(0, G1));
    assert_eq!(held.len(), 513);
    held.invalidate();
    assert_eq!(table.table_pages(), 4);
    finish(table, &memory);
}

#[test]
fn a_hole_deep_in_a_covered_table_keeps_the_tables_above_it() {
    for coherent in [true, false] {
        let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
        map(&table, 0, 0, G1);
        let hole = 5 * M2 + 77 * K4;
        assert_eq!(unmap(&table, hole, K4).bytes, K4);
        let before = memory.live();
        assert_eq!(unmap(&table, 0, G1), removed(0, hole));
        // Five page tables were all done, the sixth was not.
        assert_eq!(memory.live(), before - 5);
        assert!(walker.translate::<SecondStage>(hole - K4).is_none());
        assert!(walker.translate::<SecondStage>(hole + K4).is_some());
        finish(table, &memory);
    }
}

#[test]
fn large_pages_of_a_run_go_together() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, false);
    // 2 MiB pages, 4 KiB pages, 1 GiB pages.
    map(&table, G1 - 2 * M2, G1 - 2 * M2, M2);
    map(&table, G1 - M2, 0, M2 - K4);
    map(&table, G1 - K4, M2 - K4, K4);
    map(&table, G1, 0, 2 * G1);
    let len = 2 * G1 + 2 * M2;
    assert_eq!(unmap(&table, G1 - 2 * M2, len), removed(G1 - 2 * M2, len));
    assert_eq!(table.table_pages(), 3);
    finish(table, &memory);
}

fn split_keeps_the_rest<F: Stage>(coherent: bool) {
    let (table, memory) = table::<F>(Levels::Four, LeafSize::Size1G, coherent);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    let mut held = gather(&memory);
    let mapped = table.map(
        Iova::new(G1),
        PhysAddr::new(5 * G1),
        G1,
        Prot::READ,
        (),
        &mut held,
    );
    assert_eq!(mapped, (G1, Ok(())));
    let (accessed, dirty) = F::accessed_dirty();
    let (at, index) = walker.slot(G1, 3);
    memory.hardware_sets(at, index, accessed | dirty);

    // Two pages in the middle, across a 2 MiB boundary.
    let at = G1 + 7 * M2 - K4;
    let unmapped = table.unmap(Iova::new(at), 2 * K4, (), &mut held);
    assert_eq!(unmapped.bytes, 2 * K4);
    assert_eq!(unmapped.touched, IovaRange::from_len(Iova::new(G1), G1));
    assert_eq!(held.len(), 0);
    for iova in [at, at + K4] {
        assert_eq!(walker.translate::<F>(iova), None);
    }
    let seen = |iova| {
        let t = walker.translate::<F>(iova).expect("still mapped");
        assert!(t.read && !t.write);
        let leaf = table.leaf(Iova::new(iova)).expect("still mapped");
        assert!(leaf.accessed && leaf.dirty);
        assert_eq!(leaf.size.bytes(), t.size);
        (t.phys, t.size)
    };
    assert_eq!(seen(G1), (5 * G1, M2));
    assert_eq!(seen(at - 1), (5 * G1 + 7 * M2 - K4 - 1, K4));
    assert_eq!(seen(at + 2 * K4), (5 * G1 + 7 * M2 + K4, K4));
    assert_eq!(seen(2 * G1 - 1), (6 * G1 - 1, M2));
    // Root, directory pointers, one directory, two page tables.
    assert_eq!(walker.tables::<F>().len(), 5);
    finish(table, &memory);
}

#[test]
fn a_split_keeps_the_rest_of_a_page() {
    for coherent in [true, false] {
        split_keeps_the_rest::<SecondStage>(coherent);
        split_keeps_the_rest::<FirstStage>(coherent);
    }
}

#[test]
fn both_ends_of_a_range_split() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size2M, false);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    map(&table, 0, 0, 3 * M2);
    let unmapped = unmap(&table, M2 - K4, M2 + 2 * K4);
    assert_eq!(unmapped.bytes, M2 + 2 * K4);
    assert_eq!(unmapped.touched, IovaRange::from_len(Iova::new(0), 3 * M2));
    let seen = |iova| walker.translate::<SecondStage>(iova).map(|t| t.phys);
    assert_eq!(seen(M2 - K4 - 1), Some(M2 - K4 - 1));
    assert_eq!(seen(M2 - K4), None);
    assert_eq!(seen(2 * M2 + K4 - 1), None);
    assert_eq!(seen(2 * M2 + K4), Some(2 * M2 + K4));
    finish(table, &memory);
}

#[test]
fn no_memory_to_split_stops_there() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, false);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    map(&table, 0, 0, 2 * G1);
    memory.set_budget(0);
    assert_eq!(unmap(&table, K4, K4), NOTHING);
    assert_eq!(unmap(&table, 0, G1 + K4), removed(0, G1));
    // One table: down to 2 MiB pages and no further. Nothing is unmapped, all of it changed.
    memory.set_budget(1);
    let unmapped = unmap(&table, G1 + K4, K4);
    assert_eq!(unmapped.bytes, 0);
    assert_eq!(unmapped.touched, IovaRange::from_len(Iova::new(G1), G1));
    assert_eq!(
        walker
            .translate::<SecondStage>(G1 + K4)
            .map(|t| (t.phys, t.size)),
        Some((G1 + K4, M2))
    );
    finish(table, &memory);
}
