// SPDX-License-Identifier: GPL-2.0

//! Threads that map and unmap disjoint ranges which share tables at every level. What each asserts
//! holds whatever the schedule is.

#![forbid(unsafe_code)]

mod common;

use common::walker::{Stage, Walker};
use common::{finish, gather, table, G1, K4, M2};
use siov_iopgtable::{FirstStage, LeafSize, Levels, Prot, SecondStage};
use siov_types::{Iova, PhysAddr};
use std::sync::Barrier;
use std::thread;

const THREADS: u64 = 4;

/// Ranges of one thread: every fourth page of two page tables, every fourth page table of a
/// directory and of its neighbour, in turn.
fn ranges(thread: u64) -> impl Iterator<Item = (u64, u64)> {
    let pages = (0..64).map(move |n| ((n * THREADS + thread) * K4 + M2 - 128 * K4, K4));
    let tables = (0..4).map(move |n| (G1 - 8 * M2 + (n * THREADS + thread) * M2, M2));
    pages.chain(tables)
}

fn hammer<F: Stage>(coherent: bool, shift: u64) {
    let levels = Levels::Four;
    let (table, memory) = table::<F>(levels, LeafSize::Size2M, coherent);
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (table, memory, barrier) = (&table, &memory, &barrier);
            scope.spawn(move || {
                let walker = Walker::new(memory, table.root().raw(), levels);
                let mut held = gather(memory);
                for round in 0..20 {
                    barrier.wait();
                    for (iova, len) in ranges(thread) {
                        let phys = PhysAddr::new(iova + shift);
                        let prot = Prot::READ | Prot::WRITE;
                        let mapped = table.map(Iova::new(iova), phys, len, prot, (), &mut held);
                        assert_eq!(mapped, (len, Ok(())));
                        for offset in [0, len - 1] {
                            // The walker sees it as soon as the call has returned.
                            let seen = walker.translate::<F>(iova + offset);
                            assert_eq!(seen.map(|t| t.phys), Some(iova + offset + shift));
                        }
                    }
                    barrier.wait();
                    for (iova, len) in ranges(thread) {
                        let seen = walker.translate::<F>(iova + len - 1);
                        assert_eq!(seen.map(|t| t.phys), Some(iova + len - 1 + shift));
                        // Half of a large page at a time, in every other round.
                        let step = if round % 2 == 0 {
                            len
                        } else {
                            (len / 2).max(K4)
                        };
                        for at in (iova..iova + len).step_by(step as usize) {
                            let unmapped = table.unmap(Iova::new(at), step, (), &mut held);
                            assert_eq!(unmapped.bytes, step);
                            assert_eq!(walker.translate::<F>(at), None);
                        }
                    }
                    barrier.wait();
                    held.invalidate();
                }
            });
        }
    });
    assert_eq!(memory.live(), walker_tables::<F>(&table, &memory));
    finish(table, &memory);
}

fn walker_tables<F: Stage>(
    table: &siov_iopgtable::PageTable<F, common::memory::Memory>,
    memory: &common::memory::Memory,
) -> usize {
    let walker = Walker::new(memory, table.root().raw(), Levels::Four);
    assert_eq!(table.table_pages(), walker.tables::<F>().len() as u64);
    walker.tables::<F>().len()
}

#[test]
fn second_stage() {
    for coherent in [true, false] {
        hammer::<SecondStage>(coherent, G1);
        hammer::<SecondStage>(coherent, K4);
    }
}

#[test]
fn first_stage() {
    for coherent in [true, false] {
        hammer::<FirstStage>(coherent, G1);
        hammer::<FirstStage>(coherent, K4);
    }
}
