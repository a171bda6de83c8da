// SPDX-License-Identifier: GPL-2.0

//! Mapping: what is refused, which pages are chosen, what happens where something is in the way.

#![forbid(unsafe_code)]

mod common;

use common::memory::Memory;
use common::walker::{Stage, Translation, Walker};
use common::{finish, gather, table, G1, G512, K4, LEVELS, M2};
use siov_iopgtable::{Error, FirstStage, LeafSize, Levels, PageTable, Prot, SecondStage};
use siov_types::{Iova, IovaRange, PhysAddr};
use std::ops::ControlFlow;

const READ_WRITE: Prot = Prot::READ.union(Prot::WRITE);

fn map<F: Stage>(
    table: &PageTable<F, Memory>,
    iova: u64,
    phys: u64,
    len: u64,
) -> (u64, Result<(), Error>) {
    let mut held = gather(table.memory());
    let mapped = table.map(
        Iova::new(iova),
        PhysAddr::new(phys),
        len,
        READ_WRITE,
        (),
        &mut held,
    );
    held.invalidate();
    mapped
}

fn unmap<F: Stage>(table: &PageTable<F, Memory>, iova: u64, len: u64) -> u64 {
    let mut held = gather(table.memory());
    let unmapped = table.unmap(Iova::new(iova), len, (), &mut held);
    held.invalidate();
    unmapped.bytes
}

fn sizes<F: Stage>(table: &PageTable<F, Memory>) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let end: ControlFlow<()> = table.for_each_leaf(IovaRange::ALL, |leaf| {
        found.push((leaf.iova.raw(), leaf.size.bytes()));
        ControlFlow::Continue(())
    });
    assert_eq!(end, ControlFlow::Continue(()));
    found
}

#[test]
fn arguments_are_checked() {
    fn check<F: Stage>(levels: Levels) {
        let (table, memory) = table::<F>(levels, LeafSize::Size1G, true);
        let end = 1u64 << F::input_width(levels);
        let high = 1u64 << 46;
        let refused = [
            (0, 0, 0, Error::Empty),
            (0x800, 0, K4, Error::Misaligned),
            (0, 0x800, K4, Error::Misaligned),
            (0, 0, 0x800, Error::Misaligned),
            (0, 0, K4 + 1, Error::Misaligned),
            (end, 0, K4, Error::InputRange),
            (end - K4, 0, 2 * K4, Error::InputRange),
            (u64::MAX - K4 + 1, 0, K4, Error::InputRange),
            (u64::MAX - K4 + 1, 0, 2 * K4, Error::InputRange),
            (K4, 0, u64::MAX - K4 + 1, Error::InputRange),
            (0, high, K4, Error::OutputRange),
            (0, high - K4, 2 * K4, Error::OutputRange),
            (0, u64::MAX - K4 + 1, 2 * K4, Error::OutputRange),
        ];
        for (iova, phys, len, error) in refused {
            assert_eq!(
                map(&table, iova, phys, len),
                (0, Err(error)),
                "{iova:#x} {phys:#x} {len:#x}"
            );
        }
        let nothing = table.map(
            Iova::new(0),
            PhysAddr::new(0),
            K4,
            Prot::SNOOP,
            (),
            &mut gather(&memory),
        );
        assert_eq!(nothing, (0, Err(Error::Prot)));
        assert_eq!(memory.live(), 1, "nothing was allocated for any of these");

        assert_eq!(map(&table, end - K4, high - K4, K4), (K4, Ok(())));
        assert_eq!(
            table.iova_to_phys(Iova::new(end - 1)),
            Some(PhysAddr::new(high - 1))
        );
        assert_eq!(table.iova_to_phys(Iova::new(end)), None);
        assert_eq!(table.iova_to_phys(Iova::new(u64::MAX)), None);
        finish(table, &memory);
    }
    for levels in LEVELS {
        check::<SecondStage>(levels);
    }
    check::<FirstStage>(Levels::Four);
    check::<FirstStage>(Levels::Five);
}

#[test]
fn pages_are_as_large_as_alignment_and_length_allow() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, false);
    // 4 KiB, 2 MiB, 1 GiB, and down again, in one call.
    let (start, end) = (G1 - M2 - K4, 2 * G1 + M2 + K4);
    assert_eq!(
        map(&table, start, 8 * G1 + start, end - start),
        (end - start, Ok(()))
    );
    assert_eq!(
        sizes(&table),
        [
            (G1 - M2 - K4, K4),
            (G1 - M2, M2),
            (G1, G1),
            (2 * G1, M2),
            (2 * G1 + M2, K4)
        ]
    );
    finish(table, &memory);
}

#[test]
fn physical_alignment_limits_the_page() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, true);
    assert_eq!(map(&table, 0, M2, G1), (G1, Ok(())));
    assert_eq!(map(&table, G1, K4, M2), (M2, Ok(())));
    let found = sizes(&table);
    assert_eq!(found.len(), 512 + 512);
    assert!(found[..512].iter().all(|(_, size)| *size == M2));
    assert!(found[512..].iter().all(|(_, size)| *size == K4));
    finish(table, &memory);
}

#[test]
fn configuration_limits_the_page() {
    for (max, pages) in [
        (LeafSize::Size4K, 512 * 512),
        (LeafSize::Size2M, 512),
        (LeafSize::Size1G, 1),
    ] {
        let (table, memory) = table::<FirstStage>(Levels::Four, max, true);
        assert_eq!(map(&table, G1, 3 * G1, G1), (G1, Ok(())));
        assert_eq!(sizes(&table).len(), pages);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
        assert_eq!(
            walker.translate::<FirstStage>(2 * G1 - 1),
            Some(Translation {
                phys: 4 * G1 - 1,
                read: true,
                write: true,
                size: max.bytes()
            })
        );
        finish(table, &memory);
    }
}

#[test]
fn a_run_crosses_tables_of_every_level() {
    for coherent in [true, false] {
        let (table, memory) = table::<SecondStage>(Levels::Five, LeafSize::Size4K, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Five);
        let middle = 1 << 48;
        assert_eq!(map(&table, middle - 3 * K4, 0, 6 * K4), (6 * K4, Ok(())));
        for page in 0..6 {
            let found = walker.translate::<SecondStage>(middle - 3 * K4 + page * K4);
            assert_eq!(found.map(|t| t.phys), Some(page * K4));
        }
        // Two of each level below the root.
        assert_eq!(table.table_pages(), 9);
        assert_eq!(memory.live(), 9);
        finish(table, &memory);
    }
}

/// Runs of 1 to 40 pages, each from every offset of a cache line, around what is there already.
#[test]
fn an_occupied_page_ends_a_run() {
    let (table, memory) = table::<SecondStage>(Levels::Three, LeafSize::Size4K, false);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Three);
    for start in 0..9 {
        for pages in 1..40 {
            for occupied in 0..pages {
                let at = (start + occupied) * K4;
                assert_eq!(map(&table, at, 7 * G1, K4), (K4, Ok(())));
                assert_eq!(
                    map(&table, start * K4, G1, pages * K4),
                    (occupied * K4, Err(Error::Exists))
                );
                let seen = |page: u64| walker.translate::<SecondStage>(page * K4).map(|t| t.phys);
                for page in 0..60 {
                    let expected = if (start..start + occupied).contains(&page) {
                        Some(G1 + (page - start) * K4)
                    } else if page == start + occupied {
                        Some(7 * G1)
                    } else {
                        None
                    };
                    assert_eq!(seen(page), expected, "{start} {pages} {occupied} {page}");
                }
                assert_eq!(
                    unmap(&table, start * K4, (occupied + 1) * K4),
                    (occupied + 1) * K4
                );
            }
        }
    }
    finish(table, &memory);
}

#[test]
fn a_large_page_replaces_empty_tables_only() {
    for coherent in [true, false] {
        let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
        let mut held = gather(&memory);
        // Two page tables below one page directory.
        assert_eq!(map(&table, G1, 0, 2 * K4), (2 * K4, Ok(())));
        assert_eq!(map(&table, G1 + M2, 0, K4), (K4, Ok(())));
        assert_eq!(unmap(&table, G1, K4), K4);
        assert_eq!(unmap(&table, G1 + M2, K4), K4);
        assert_eq!(memory.live(), 5);

        let mut large = |iova, len| {
            table.map(
                Iova::new(iova),
                PhysAddr::new(4 * G1),
                len,
                READ_WRITE,
                (),
                &mut held,
            )
        };
        assert_eq!(large(G1, M2), (0, Err(Error::Exists)));
        assert_eq!(large(G1, G1), (0, Err(Error::Exists)));
        assert_eq!(table.table_pages(), 5);
        assert_eq!(unmap(&table, G1 + K4, K4), K4);

        assert_eq!(large(G1, G1), (G1, Ok(())));
        assert_eq!(held.len(), 3, "directory and page tables are gathered");
        assert_eq!(memory.live(), 5, "and not freed yet");
        assert_eq!(
            walker
                .translate::<SecondStage>(G1)
                .map(|t| (t.phys, t.size)),
            Some((4 * G1, G1))
        );
        held.invalidate();
        assert_eq!(table.table_pages(), 2);
        assert_eq!(memory.live(), 2);
        finish(table, &memory);
    }
}

#[test]
fn one_large_page_replaces_one_table() {
    for (size, len, tables) in [(LeafSize::Size2M, M2, 3), (LeafSize::Size1G, G1, 2)] {
        let (table, memory) = table::<FirstStage>(Levels::Four, size, false);
        assert_eq!(map(&table, G1, 0, K4), (K4, Ok(())));
        assert_eq!(map(&table, G1, 0, len), (0, Err(Error::Exists)));
        assert_eq!(unmap(&table, G1, K4), K4);
        assert_eq!(map(&table, G1, 0, len), (len, Ok(())));
        assert_eq!(sizes(&table), [(G1, len)]);
        assert_eq!(memory.live(), tables);
        assert_eq!(map(&table, G1, 0, len), (0, Err(Error::Exists)));
        assert_eq!(unmap(&table, G1, len), len);
        finish(table, &memory);
    }
}

#[test]
fn a_whole_table_of_pages_goes_into_an_empty_one_too() {
    for coherent in [true, false] {
        let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
        assert_eq!(map(&table, M2, 0, K4), (K4, Ok(())));
        assert_eq!(unmap(&table, M2, K4), K4);
        assert_eq!(map(&table, M2, K4, M2), (M2, Ok(())));
        assert_eq!(
            walker.translate::<SecondStage>(2 * M2 - 1).map(|t| t.phys),
            Some(M2 + K4 - 1)
        );
        assert_eq!(map(&table, M2, K4, M2), (0, Err(Error::Exists)));
        assert_eq!(memory.allocated(), 4);
        finish(table, &memory);
    }
}

#[test]
fn no_memory_keeps_what_was_mapped() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, false);
    // Root exists; three more tables for the first 2 MiB, none for the second.
    memory.set_budget(3);
    assert_eq!(map(&table, 0, 0, 2 * M2), (M2, Err(Error::NoMemory)));
    assert_eq!(sizes(&table).len(), 512);
    memory.set_budget(0);
    assert_eq!(map(&table, G512, 0, K4), (0, Err(Error::NoMemory)));
    memory.set_budget(1);
    assert_eq!(map(&table, G512, 0, K4), (0, Err(Error::NoMemory)));
    assert_eq!(table.table_pages(), 5, "the directory that was made stays");
    memory.set_budget(2);
    assert_eq!(map(&table, G512, 0, K4), (K4, Ok(())));
    finish(table, &memory);
}

#[test]
fn no_memory_for_the_root() {
    let memory = Memory::new(true);
    memory.set_budget(0);
    let config = siov_iopgtable::Config {
        levels: Levels::Four,
        max_leaf: LeafSize::Size4K,
        input_bits: 48,
        output_bits: 46,
    };
    let made = PageTable::<SecondStage, _>::new(memory, config, ());
    assert_eq!(made.map(drop), Err(Error::NoMemory));
}

#[test]
fn leaves_tell_what_they_are() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, true);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    let prot = Prot::WRITE | Prot::SNOOP;
    let (bytes, _) = table.map(
        Iova::new(M2),
        PhysAddr::new(4 * M2),
        M2,
        prot,
        (),
        &mut gather(&memory),
    );
    assert_eq!(bytes, M2);
    let leaf = table.leaf(Iova::new(M2 + 0x1234)).expect("mapped");
    assert_eq!(leaf.iova, Iova::new(M2));
    assert_eq!(leaf.phys, PhysAddr::new(4 * M2));
    assert_eq!(leaf.size, LeafSize::Size2M);
    assert_eq!(leaf.prot, prot);
    assert!(!leaf.accessed && !leaf.dirty);
    let (at, index) = walker.slot(M2, 2);
    memory.hardware_sets(at, index, 0x100);
    let leaf = table.leaf(Iova::new(M2)).expect("mapped");
    assert!(leaf.accessed && !leaf.dirty);
    memory.hardware_sets(at, index, 0x200);
    assert!(table.leaf(Iova::new(M2)).expect("mapped").dirty);
    assert_eq!(table.leaf(Iova::new(0)), None);
    assert_eq!(table.leaf(Iova::new(1 << 48)), None);
    finish(table, &memory);
}

#[test]
fn a_visit_takes_the_overlapping_pages_and_can_stop() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size1G, true);
    assert_eq!(map(&table, 0, 0, 3 * M2), (3 * M2, Ok(())));
    assert_eq!(map(&table, 5 * M2 - K4, 0, K4), (K4, Ok(())));
    assert_eq!(map(&table, (1 << 48) - K4, 0, K4), (K4, Ok(())));
    let visit = |first, last, stop| {
        let range = IovaRange::new(Iova::new(first), Iova::new(last)).expect("not empty");
        let mut seen = Vec::new();
        let end = table.for_each_leaf(range, |leaf| {
            seen.push(leaf.iova.raw());
            if seen.len() == stop {
                ControlFlow::Break(leaf.iova.raw())
            } else {
                ControlFlow::Continue(())
            }
        });
        (seen, end)
    };
    let all = vec![0, M2, 2 * M2, 5 * M2 - K4, (1 << 48) - K4];
    assert_eq!(visit(0, u64::MAX, 9), (all, ControlFlow::Continue(())));
    assert_eq!(
        visit(M2 + K4, 2 * M2, 9),
        (vec![M2, 2 * M2], ControlFlow::Continue(()))
    );
    assert_eq!(
        visit(M2 + K4, 2 * M2 - 1, 9),
        (vec![M2], ControlFlow::Continue(()))
    );
    assert_eq!(visit(0, u64::MAX, 2), (vec![0, M2], ControlFlow::Break(M2)));
    assert_eq!(
        visit(3 * M2, 4 * M2, 9),
        (vec![], ControlFlow::Continue(()))
    );
    finish(table, &memory);
}
