// SPDX-License-Identifier: GPL-2.0

//! Two users of disjoint ranges who need the same table, interleaved at each place where it
//! matters: the second call runs whole, from a hook in the memory, inside of the first.

#![forbid(unsafe_code)]

mod common;

use common::memory::{Event, Memory};
use common::walker::{Stage, Walker};
use common::{gather, table, G1, K4, M2};
use siov_iopgtable::{Error, FirstStage, LeafSize, Levels, PageTable, Prot, SecondStage};
use siov_types::{Iova, IovaRange, PhysAddr};
use std::sync::{Arc, Barrier};

type Shared<F> = Arc<PageTable<F, Memory>>;

fn shared<F: Stage>(max_leaf: LeafSize, coherent: bool) -> (Shared<F>, Memory, Walker) {
    let (table, memory) = table::<F>(Levels::Four, max_leaf, coherent);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    (Arc::new(table), memory, walker)
}

fn finish<F: Stage>(table: Shared<F>, memory: &Memory) {
    assert!(memory.hooked(), "the race took place");
    let table = Arc::into_inner(table).expect("the hooks are gone");
    common::finish(table, memory);
}

fn map<F: Stage>(table: &PageTable<F, Memory>, iova: u64, len: u64) {
    let mut held = gather(table.memory());
    let prot = Prot::READ | Prot::WRITE;
    let mapped = table.map(
        Iova::new(iova),
        PhysAddr::new(iova),
        len,
        prot,
        (),
        &mut held,
    );
    assert_eq!(mapped, (len, Ok(())));
    assert_eq!(held.len(), 0);
}

fn unmap<F: Stage>(table: &PageTable<F, Memory>, iova: u64, len: u64) -> Option<IovaRange> {
    let mut held = gather(table.memory());
    let unmapped = table.unmap(Iova::new(iova), len, (), &mut held);
    assert_eq!(unmapped.bytes, len);
    held.invalidate();
    unmapped.touched
}

fn seen<F: Stage>(walker: &Walker, iova: u64) -> Option<u64> {
    walker.translate::<F>(iova).map(|t| t.phys)
}

/// Both find no table and make one; the slower one's is freed.
fn install<F: Stage>(coherent: bool, nth: usize) {
    let (table, memory, walker) = shared::<F>(LeafSize::Size4K, coherent);
    let other = table.clone();
    let race = move || map(&other, K4, K4);
    // Lets some allocations pass first, so that each level has its turn.
    let last = memory.clone();
    let mut hook: Box<dyn FnOnce() + Send> = Box::new(race);
    for _ in 0..nth {
        let memory = last.clone();
        let next = hook;
        hook = Box::new(move || memory.hook(Event::Alloc, next));
    }
    memory.hook(Event::Alloc, hook);
    map(&table, 0, K4);
    assert_eq!(seen::<F>(&walker, 0), Some(0));
    assert_eq!(seen::<F>(&walker, K4), Some(K4));
    assert_eq!(walker.tables::<F>().len(), 4);
    assert_eq!(memory.live(), 4);
    assert_eq!(memory.allocated(), 5, "one was in vain");
    finish(table, &memory);
}

#[test]
fn one_of_two_new_tables_is_used() {
    for coherent in [true, false] {
        for nth in 0..3 {
            install::<SecondStage>(coherent, nth);
            install::<FirstStage>(coherent, nth);
        }
    }
}

/// A new table is linked and not yet published when somebody else maps through it. That one must
/// not return before the walker can get there.
fn follow<F: Stage>() {
    let (table, memory, walker) = shared::<F>(LeafSize::Size4K, false);
    let other = table.clone();
    let root = table.root().raw();
    let (watch, eyes) = (memory.clone(), Walker::new(&memory, root, Levels::Four));
    // The first single entry that is published is that of the highest new table.
    memory.hook(Event::Publish(1), move || {
        assert_eq!(watch.walker_reads(root, 0), 0, "not published yet");
        assert_ne!(watch.processor_reads(root, 0), 0, "but linked");
        map(&other, 512 * K4, K4);
        assert_eq!(seen::<F>(&eyes, 512 * K4), Some(512 * K4));
    });
    map(&table, 0, K4);
    assert_eq!(seen::<F>(&walker, 0), Some(0));
    finish(table, &memory);
}

#[test]
fn who_follows_an_unpublished_entry_publishes_it() {
    follow::<SecondStage>();
    follow::<FirstStage>();
}

/// The walker never sees a pointer to a table before the table.
#[test]
fn tables_are_published_before_their_entry() {
    let (table, memory, walker) = shared::<SecondStage>(LeafSize::Size4K, false);
    let eyes = Walker::new(&memory, table.root().raw(), Levels::Four);
    let watch = memory.clone();
    memory.hook(Event::Publish(1), move || {
        // About to publish the first pointer. What it points to must be there already.
        let entry = eyes.entry(0, 4);
        let below = entry & 0x000f_ffff_ffff_f000;
        assert_eq!(watch.walker_reads(below, 0), 0);
    });
    map(&table, 0, K4);
    assert_eq!(seen::<SecondStage>(&walker, 0), Some(0));
    finish(table, &memory);
}

/// A page table that is filled before it is linked, with somebody else making the one above it.
#[test]
fn a_filled_table_goes_into_a_directory_that_just_came() {
    for coherent in [true, false] {
        let (table, memory, walker) = shared::<SecondStage>(LeafSize::Size4K, coherent);
        let other = table.clone();
        memory.hook(Event::Alloc, move || map(&other, M2, M2));
        map(&table, 0, M2);
        for iova in [0, M2 - K4, M2, 2 * M2 - K4] {
            assert_eq!(seen::<SecondStage>(&walker, iova), Some(iova));
        }
        assert_eq!(memory.live(), 5);
        finish(table, &memory);
    }
}

/// Two users of one range break the rule. Even so, nothing is lost or overwritten.
#[test]
fn a_filled_table_comes_too_late() {
    for coherent in [true, false] {
        let (table, memory, walker) = shared::<SecondStage>(LeafSize::Size4K, coherent);
        map(&table, M2, K4);
        let other = table.clone();
        memory.hook(Event::Publish(512), move || map(&other, 5 * K4, K4));
        let (bytes, result) = table.map(
            Iova::new(0),
            PhysAddr::new(G1),
            M2,
            Prot::READ,
            (),
            &mut gather(&memory),
        );
        assert_eq!((bytes, result), (5 * K4, Err(Error::Exists)));
        assert_eq!(seen::<SecondStage>(&walker, 4 * K4), Some(G1 + 4 * K4));
        assert_eq!(seen::<SecondStage>(&walker, 5 * K4), Some(5 * K4));
        assert_eq!(seen::<SecondStage>(&walker, 6 * K4), None);
        assert_eq!(memory.live(), 5);
        finish(table, &memory);
    }
}

/// Two users of one large page split it at once.
fn split_twice<F: Stage>(coherent: bool) {
    let (table, memory, walker) = shared::<F>(LeafSize::Size2M, coherent);
    map(&table, M2, M2);
    let other = table.clone();
    memory.hook(Event::Alloc, move || {
        let touched = unmap(&other, M2 + K4, K4);
        assert_eq!(touched, IovaRange::from_len(Iova::new(M2), M2));
    });
    // The slower one has seen the large page, too, and answers for all of it.
    let touched = unmap(&table, M2, K4);
    assert_eq!(touched, IovaRange::from_len(Iova::new(M2), M2));
    assert_eq!(seen::<F>(&walker, M2), None);
    assert_eq!(seen::<F>(&walker, M2 + K4), None);
    assert_eq!(seen::<F>(&walker, M2 + 2 * K4), Some(M2 + 2 * K4));
    assert_eq!(memory.live(), 4);
    finish(table, &memory);
}

#[test]
fn one_of_two_splits_is_used() {
    for coherent in [true, false] {
        split_twice::<SecondStage>(coherent);
        split_twice::<FirstStage>(coherent);
    }
}

/// A large page is split and the walker does not know yet, when the user of another part unmaps.
/// That one must not return before the walker has lost the page.
fn unmap_below_unpublished_split<F: Stage>() {
    let (table, memory, walker) = shared::<F>(LeafSize::Size2M, false);
    map(&table, M2, M2);
    let other = table.clone();
    let eyes = Walker::new(&memory, table.root().raw(), Levels::Four);
    memory.hook(Event::Publish(1), move || {
        assert_eq!(eyes.translate::<F>(M2).map(|t| t.size), Some(M2));
        unmap(&other, M2 + 8 * K4, 2 * K4);
        assert_eq!(seen::<F>(&eyes, M2 + 8 * K4), None);
        assert_eq!(seen::<F>(&eyes, M2 + 9 * K4), None);
    });
    unmap(&table, M2, K4);
    assert_eq!(seen::<F>(&walker, M2), None);
    assert_eq!(seen::<F>(&walker, M2 + K4), Some(M2 + K4));
    finish(table, &memory);
}

#[test]
fn who_unmaps_below_an_unpublished_split_publishes_it() {
    unmap_below_unpublished_split::<SecondStage>();
    unmap_below_unpublished_split::<FirstStage>();
}

/// The same, for one who saw the large page and came late with a split of his own.
fn lose_to_unpublished_split<F: Stage>() {
    let (table, memory, walker) = shared::<F>(LeafSize::Size2M, false);
    map(&table, M2, M2);
    // First: splits. Second: has looked already, splits while the first has not published.
    let first = table.clone();
    let (mem, eyes) = (
        memory.clone(),
        Walker::new(&memory, table.root().raw(), Levels::Four),
    );
    let (done, before) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (done_too, before_too) = (done.clone(), before.clone());
    memory.hook(Event::Alloc, move || {
        // Leaves the first waiting between the change of the entry and its publication.
        mem.hook(Event::Publish(1), move || {
            before_too.wait();
            done_too.wait();
        });
        std::thread::spawn(move || {
            unmap(&first, M2, K4);
        });
        before.wait();
    });
    unmap(&table, M2 + 8 * K4, K4);
    assert_eq!(seen::<F>(&eyes, M2 + 8 * K4), None);
    assert_eq!(seen::<F>(&eyes, M2 + 7 * K4), Some(M2 + 7 * K4));
    done.wait();
    // The thread gives its share of the table back when it is through.
    while Arc::strong_count(&table) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(seen::<F>(&walker, M2), None);
    assert_eq!(memory.live(), 4);
    finish(table, &memory);
}

#[test]
fn who_loses_to_an_unpublished_split_publishes_it() {
    lose_to_unpublished_split::<SecondStage>();
    lose_to_unpublished_split::<FirstStage>();
}

/// Hardware sets accessed and dirty while a page is being split.
fn dirty_while_split<F: Stage>(coherent: bool) {
    let (table, memory, walker) = shared::<F>(LeafSize::Size1G, coherent);
    let mut held = gather(&memory);
    let (bytes, _) = table.map(
        Iova::new(G1),
        PhysAddr::new(0),
        G1,
        Prot::READ,
        (),
        &mut held,
    );
    assert_eq!(bytes, G1);
    let (hardware, slot) = (memory.clone(), walker.slot(G1, 3));
    let (accessed, dirty) = F::accessed_dirty();
    memory.hook(Event::Publish(512), move || {
        hardware.hardware_sets(slot.0, slot.1, accessed | dirty);
    });
    unmap(&table, G1, M2);
    for iova in [G1 + M2, 2 * G1 - M2] {
        let leaf = table.leaf(Iova::new(iova)).expect("still mapped");
        assert!(leaf.accessed && leaf.dirty);
        assert_eq!(seen::<F>(&walker, iova), Some(iova - G1));
    }
    finish(table, &memory);
}

#[test]
fn a_split_loses_no_dirty_bit() {
    for coherent in [true, false] {
        dirty_while_split::<SecondStage>(coherent);
        dirty_while_split::<FirstStage>(coherent);
    }
}
