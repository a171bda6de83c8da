// SPDX-License-Identifier: GPL-2.0

//! Models of users of disjoint ranges who need the same table: loom runs their schedules, up to a
//! number of preemptions, with every value that the memory model lets a load return. Tables have
//! four entries.
//!
//! Built by `RUSTFLAGS="--cfg loom" cargo test -p siov-iopgtable --test loom`, and empty otherwise.

#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::sync::atomic::Ordering;
use loom::sync::Arc;
use loom::thread;
use siov_iopgtable::atomic::AtomicU64;
use siov_iopgtable::{
    Config, Gather, LeafSize, Levels, PageMemory, PageTable, Prot, SecondStage, Table, TableAddr,
};
use siov_types::{Iova, PhysAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A page, and what the second level's entries map, and the third's: four times as much each.
const PAGE: u64 = 1 << 12;
const LARGE: u64 = 1 << 14;
const HUGE: u64 = 1 << 16;

/// Tables that a test may need.
const TABLES: usize = 8;

/// Where the first one lies.
const BASE: u64 = 1 << 40;

/// Bits of entries that the walker of these tests looks at: present, and a leaf above the last
/// level.
const PRESENT: u64 = 0b11;
const LEAF: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Memory that only counts up; freed tables stay readable, and are marked.
struct Memory {
    tables: Vec<Table>,
    /// What the walker of memory that does not snoop sees.
    published: Vec<Table>,
    coherent: bool,
    /// Nothing depends on the order of these.
    next: AtomicUsize,
    freed: [AtomicUsize; TABLES],
}

impl Memory {
    fn new(coherent: bool) -> Self {
        Self {
            tables: (0..TABLES).map(|_| Table::new()).collect(),
            published: (0..TABLES).map(|_| Table::new()).collect(),
            coherent,
            next: AtomicUsize::new(0),
            freed: std::array::from_fn(|_| AtomicUsize::new(0)),
        }
    }

    fn index(phys: PhysAddr) -> usize {
        ((phys.raw() - BASE) / PAGE) as usize
    }

    /// What the walker finds at `iova`: the address, or nothing.
    fn walk(&self, root: PhysAddr, iova: u64) -> Option<u64> {
        let mut table = root;
        for level in (0..3).rev() {
            let size = PAGE << (2 * level);
            let tables = if self.coherent {
                &self.tables
            } else {
                &self.published
            };
            let entries = tables[Self::index(table)].entries();
            // As a device reads: it sees what it was told of, not more.
            let entry = entries[(iova / size % 4) as usize].load(Ordering::Acquire);
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 0 || entry & LEAF != 0 {
                return Some(entry & ADDRESS & !(size - 1) | iova & (size - 1));
            }
            table = PhysAddr::new(entry & ADDRESS);
        }
        unreachable!("the last level has leaves only")
    }
}

/// Shared by the page table and the test.
#[derive(Clone)]
struct Shared(Arc<Memory>);

impl PageMemory for Shared {
    type Context = ();

    fn alloc(&self, (): ()) -> Option<PhysAddr> {
        let index = self.0.next.fetch_add(1, Relaxed);
        assert!(index < TABLES, "no test needs as many tables");
        Some(PhysAddr::new(BASE + index as u64 * PAGE))
    }

    fn table(&self, addr: &TableAddr<Self>) -> &Table {
        &self.0.tables[Memory::index(addr.phys())]
    }

    fn free(&self, addr: TableAddr<Self>) {
        let before = self.0.freed[Memory::index(addr.phys())].fetch_add(1, Relaxed);
        assert_eq!(before, 0, "{addr:?} was freed before");
    }

    fn publish(&self, entries: &[AtomicU64]) {
        if self.0.coherent {
            return;
        }
        let within = |table: &Table| {
            let range = table.entries().as_ptr_range();
            range.contains(&entries.as_ptr())
        };
        let index = self.0.tables.iter().position(within);
        let index = index.expect("entries of a table of this memory");
        let (table, published) = (&self.0.tables[index], &self.0.published[index]);
        for (from, to) in table.entries().iter().zip(published.entries()) {
            if entries.iter().any(|entry| std::ptr::eq(entry, from)) {
                // The write-back of a cache line writes what is in it by then.
                to.store(from.load(Ordering::Acquire), Ordering::Release);
            }
        }
    }

    fn coherent(&self) -> bool {
        self.0.coherent
    }
}

/// No test detaches a table that is in use.
struct Nothing;

impl Gather<Shared> for Nothing {
    fn table(&mut self, table: TableAddr<Shared>) {
        panic!("{table:?} was detached");
    }
}

type Tables = PageTable<SecondStage, Shared>;

fn map(table: &Tables, iova: u64, len: u64) {
    let prot = Prot::READ | Prot::WRITE;
    let (iova, phys) = (Iova::new(iova), PhysAddr::new(iova));
    let mapped = table.map(iova, phys, len, prot, (), &mut Nothing);
    assert_eq!(mapped, (len, Ok(())));
}

fn unmap(table: &Tables, iova: u64, len: u64) {
    let unmapped = table.unmap(Iova::new(iova), len, (), &mut Nothing);
    assert_eq!(unmapped.bytes, len);
}

/// What one user does, and the addresses of its range that are mapped then, and that are not.
struct User {
    acts: fn(&Tables),
    mapped: &'static [u64],
    unmapped: &'static [u64],
}

impl User {
    /// Acts, and checks at once that the walker sees it.
    fn run(&self, table: &Tables, memory: &Memory) {
        (self.acts)(table);
        self.check(table, memory);
    }

    fn check(&self, table: &Tables, memory: &Memory) {
        for iova in self.mapped {
            assert_eq!(memory.walk(table.root(), *iova), Some(*iova));
        }
        for iova in self.unmapped {
            assert_eq!(memory.walk(table.root(), *iova), None);
        }
    }
}

/// Two users at the same time, after `before`. At the end there are `tables` tables.
fn explore(preemptions: usize, before: fn(&Tables), users: &'static [User; 2], tables: u64) {
    for coherent in [true, false] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 10_000;
        builder.check(move || {
            let memory = Arc::new(Memory::new(coherent));
            let config = Config {
                levels: Levels::Three,
                max_leaf: LeafSize::Size1G,
                input_bits: Levels::Three.address_bits(),
                output_bits: 48,
            };
            let table = Tables::new(Shared(memory.clone()), config, ()).expect("a configuration");
            let table = Arc::new(table);
            before(&table);
            let (for_other, other_memory) = (table.clone(), memory.clone());
            let [user, other] = users;
            let thread = thread::spawn(move || other.run(&for_other, &other_memory));
            user.run(&table, &memory);
            thread.join().unwrap();
            for user in users {
                user.check(&table, &memory);
            }
            assert_eq!(table.table_pages(), tables);
            drop(table);
            // All are freed, those that came too late as well.
            let made = memory.next.load(Relaxed);
            assert!(memory.freed[..made]
                .iter()
                .all(|freed| freed.load(Relaxed) == 1));
        });
    }
}

fn nothing(_: &Tables) {}

/// Both find no table at two levels and make them; of each, one is used.
#[test]
fn two_mappers_share_new_tables() {
    static USERS: [User; 2] = [
        User {
            acts: |table| map(table, 0, PAGE),
            mapped: &[0],
            unmapped: &[],
        },
        User {
            acts: |table| map(table, PAGE, PAGE),
            mapped: &[PAGE],
            unmapped: &[],
        },
    ];
    explore(3, nothing, &USERS, 3);
}

/// One fills a table before it is linked, below a table that the other one makes, too.
#[test]
fn a_whole_table_and_a_page_beside_it() {
    static USERS: [User; 2] = [
        User {
            acts: |table| map(table, PAGE, 3 * PAGE),
            mapped: &[PAGE, 3 * PAGE],
            unmapped: &[],
        },
        User {
            acts: |table| map(table, LARGE + PAGE, PAGE),
            mapped: &[LARGE + PAGE],
            unmapped: &[],
        },
    ];
    explore(3, nothing, &USERS, 4);
}

/// Both split the large page that their ranges lie in.
#[test]
fn two_splitters_of_one_page() {
    static USERS: [User; 2] = [
        User {
            acts: |table| unmap(table, 0, PAGE),
            mapped: &[PAGE],
            unmapped: &[0],
        },
        User {
            acts: |table| unmap(table, 2 * PAGE, PAGE),
            mapped: &[3 * PAGE],
            unmapped: &[2 * PAGE],
        },
    ];
    explore(3, |table| map(table, 0, LARGE), &USERS, 3);
}

/// One splits a large page, the other one maps a page whose table is a neighbour of that.
#[test]
fn a_splitter_and_a_mapper() {
    static USERS: [User; 2] = [
        User {
            acts: |table| unmap(table, 0, PAGE),
            mapped: &[PAGE],
            unmapped: &[0],
        },
        User {
            acts: |table| map(table, LARGE, PAGE),
            mapped: &[LARGE],
            unmapped: &[LARGE + PAGE],
        },
    ];
    explore(3, |table| map(table, 0, LARGE), &USERS, 4);
}

/// One splits a huge page twice, the other one uses the table that the first split makes.
#[test]
fn splitters_at_two_levels() {
    static USERS: [User; 2] = [
        User {
            acts: |table| unmap(table, 0, PAGE),
            mapped: &[PAGE],
            unmapped: &[0],
        },
        User {
            acts: |table| unmap(table, 2 * LARGE, LARGE),
            mapped: &[3 * LARGE],
            unmapped: &[2 * LARGE],
        },
    ];
    explore(3, |table| map(table, 0, HUGE), &USERS, 3);
}
