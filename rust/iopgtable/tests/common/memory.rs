// SPDX-License-Identifier: GPL-2.0

//! Memory for tables that panics on use after free, double free, and foreign addresses, and that
//! keeps what a walker without cache snooping would see apart from what the processor wrote.

use siov_iopgtable::{Gather, PageMemory, Table, TableAddr};
use siov_types::PhysAddr;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

/// What the walker finds in a new page until something was published, and everybody in a freed one.
/// Has the present and reserved bits of both formats.
pub const GARBAGE: u64 = 0xdead_beef_dead_beef;

/// When a hook runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Before a page is allocated.
    Alloc,
    /// Before this number of entries is published.
    Publish(usize),
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy)]
struct Page {
    /// What the processor reads and writes.
    table: &'static Table,
    /// What the walker of incoherent memory reads.
    published: &'static Table,
}

struct State {
    coherent: bool,
    pages: RwLock<HashMap<u64, Page>>,
    /// Physical addresses by where the table lies in this process.
    places: RwLock<HashMap<usize, u64>>,
    freed: RwLock<HashSet<u64>>,
    next: AtomicU64,
    /// Pages that may still be allocated.
    budget: AtomicI64,
    allocated: AtomicU64,
    hooks: Mutex<Vec<(Event, Hook)>>,
}

/// The memory, shared with the page table.
#[derive(Clone)]
pub struct Memory(Arc<State>);

/// Pages that nobody uses. `PageMemory::table` hands out references, so pages live forever; this
/// keeps them from adding up.
static POOL: Mutex<Vec<&'static Table>> = Mutex::new(Vec::new());

fn page(fill: u64) -> &'static Table {
    let table = POOL.lock().unwrap().pop();
    let table = table.unwrap_or_else(|| Box::leak(Box::new(Table::new())));
    for entry in table.entries() {
        entry.store(fill, Ordering::SeqCst);
    }
    table
}

fn place(entries: &[AtomicU64]) -> (usize, usize) {
    let address = entries.as_ptr() as usize;
    (address & !4095, (address & 4095) / 8)
}

impl Memory {
    pub fn new(coherent: bool) -> Self {
        Self(Arc::new(State {
            coherent,
            pages: RwLock::default(),
            places: RwLock::default(),
            freed: RwLock::default(),
            // High enough that no two fields of an entry can be taken for each other.
            next: AtomicU64::new(0x2aaa_0000_0000),
            budget: AtomicI64::new(i64::MAX),
            allocated: AtomicU64::new(0),
            hooks: Mutex::default(),
        }))
    }

    /// Number of pages that are allocated now.
    pub fn live(&self) -> usize {
        self.0.pages.read().unwrap().len()
    }

    /// Number of pages that were ever allocated.
    pub fn allocated(&self) -> u64 {
        self.0.allocated.load(Ordering::SeqCst)
    }

    /// Lets allocations fail after `pages` more.
    pub fn set_budget(&self, pages: i64) {
        self.0.budget.store(pages, Ordering::SeqCst);
    }

    /// The next allocation returns this address.
    pub fn set_next(&self, phys: u64) {
        self.0.next.store(phys, Ordering::SeqCst);
    }

    /// Runs `hook` once, the next time that `event` comes.
    pub fn hook(&self, event: Event, hook: impl FnOnce() + Send + 'static) {
        self.0.hooks.lock().unwrap().push((event, Box::new(hook)));
    }

    /// Whether all hooks have run.
    pub fn hooked(&self) -> bool {
        self.0.hooks.lock().unwrap().is_empty()
    }

    fn run_hook(&self, event: Event) {
        let hook = {
            let mut hooks = self.0.hooks.lock().unwrap();
            let found = hooks.iter().position(|(at, _)| *at == event);
            found.map(|index| hooks.remove(index).1)
        };
        if let Some(hook) = hook {
            hook();
        }
    }

    fn page(&self, phys: u64) -> Page {
        match self.0.pages.read().unwrap().get(&phys) {
            Some(page) => *page,
            // A test has failed and its page table is dropped: one message is enough.
            None if std::thread::panicking() => Page {
                table: page(0),
                published: page(0),
            },
            None if self.0.freed.read().unwrap().contains(&phys) => {
                panic!("use of the freed table {phys:#x}")
            }
            None => panic!("no table at {phys:#x}"),
        }
    }

    /// The table at `phys` as the walker sees it.
    pub fn walker_sees(&self, phys: u64) -> &'static Table {
        let page = self.page(phys);
        if self.0.coherent {
            page.table
        } else {
            page.published
        }
    }

    /// What the walker reads at entry `index` of the table at `phys`.
    pub fn walker_reads(&self, phys: u64, index: usize) -> u64 {
        let entry = self.walker_sees(phys).entries()[index].load(Ordering::SeqCst);
        assert_ne!(
            entry, GARBAGE,
            "the walker reads what was never published: {phys:#x}[{index}]"
        );
        entry
    }

    /// What the processor reads there.
    pub fn processor_reads(&self, phys: u64, index: usize) -> u64 {
        self.page(phys).table.entries()[index].load(Ordering::SeqCst)
    }

    /// Sets bits there as hardware does, for both to see.
    pub fn hardware_sets(&self, phys: u64, index: usize, bits: u64) {
        let page = self.page(phys);
        page.table.entries()[index].fetch_or(bits, Ordering::SeqCst);
        page.published.entries()[index].fetch_or(bits, Ordering::SeqCst);
    }
}

impl PageMemory for Memory {
    type Context = ();

    fn alloc(&self, (): ()) -> Option<PhysAddr> {
        self.run_hook(Event::Alloc);
        if self.0.budget.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return None;
        }
        let phys = self.0.next.fetch_add(4096, Ordering::SeqCst);
        let page = Page {
            table: page(0),
            published: page(GARBAGE),
        };
        let (address, _) = place(page.table.entries());
        self.0.places.write().unwrap().insert(address, phys);
        self.0.pages.write().unwrap().insert(phys, page);
        self.0.allocated.fetch_add(1, Ordering::SeqCst);
        Some(PhysAddr::new(phys))
    }

    fn table(&self, addr: &TableAddr<Self>) -> &Table {
        self.page(addr.phys().raw()).table
    }

    fn free(&self, addr: TableAddr<Self>) {
        let phys = addr.phys().raw();
        let page = self.page(phys);
        self.0.pages.write().unwrap().remove(&phys);
        let (address, _) = place(page.table.entries());
        self.0.places.write().unwrap().remove(&address);
        self.0.freed.write().unwrap().insert(phys);
        for table in [page.table, page.published] {
            for entry in table.entries() {
                entry.store(GARBAGE, Ordering::SeqCst);
            }
            POOL.lock().unwrap().push(table);
        }
    }

    fn publish(&self, entries: &[AtomicU64]) {
        self.run_hook(Event::Publish(entries.len()));
        if self.0.coherent || entries.is_empty() {
            return;
        }
        let (address, index) = place(entries);
        let phys = self.0.places.read().unwrap().get(&address).copied();
        let page = self.page(phys.expect("entries of a table of this memory"));
        for (entry, to) in entries.iter().zip(&page.published.entries()[index..]) {
            to.store(entry.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    fn coherent(&self) -> bool {
        self.0.coherent
    }
}

/// Detached tables, which stay usable by the walker until [`Self::invalidate`].
pub struct Held {
    memory: Memory,
    tables: Vec<TableAddr<Memory>>,
}

impl Held {
    pub fn new(memory: Memory) -> Self {
        Self {
            memory,
            tables: Vec::new(),
        }
    }

    /// Number of tables held.
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Frees what is held, as after an invalidation.
    pub fn invalidate(&mut self) {
        for table in self.tables.drain(..) {
            self.memory.free(table);
        }
    }
}

impl Gather<Memory> for Held {
    fn table(&mut self, table: TableAddr<Memory>) {
        // Must not have been freed, or be held already.
        self.memory.page(table.phys().raw());
        assert!(!self.tables.contains(&table), "{table:?} came twice");
        self.tables.push(table);
    }
}
