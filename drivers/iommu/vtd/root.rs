// SPDX-License-Identifier: GPL-2.0

//! The root table of a unit and the context tables below it (VT-d spec, 9.2 to 9.4).

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use linux::iommu::driver::{Gfp, TableMemory, TablePages};
use linux::new_raw_spinlock;
use linux::sync::RawSpinLock;
use siov_types::{Bdf, PhysAddr, PAGE_SIZE};
use siov_vtd::{ContextEntry, RootEntry, RootHalf};

/// Who may send requests at all, and where their PASID directory is.
///
/// Context tables are added when a function on their half of a bus first needs one, and stay.
#[pin_data]
pub(crate) struct RootTable {
    memory: TableMemory,
    root: TablePages,
    #[pin]
    contexts: RawSpinLock<KVec<ContextTable>>,
}

struct ContextTable {
    /// Index in the root table's words.
    half: usize,
    table: TablePages,
}

impl RootTable {
    /// A root table that blocks everything.
    pub(crate) fn new(memory: TableMemory) -> Result<impl PinInit<Self, Error>> {
        let root = TablePages::new(memory, PAGE_SIZE as usize, Gfp::KERNEL)?;
        Ok(try_pin_init!(Self {
            memory,
            root,
            contexts <- new_raw_spinlock!(KVec::new(), "vtd context tables"),
        }))
    }

    /// For the unit's root table address register.
    pub(crate) fn phys(&self) -> PhysAddr {
        self.root.phys()
    }

    /// The entry of `bdf`; empty when its context table does not exist.
    pub(crate) fn get(&self, bdf: Bdf) -> ContextEntry {
        let contexts = self.contexts.lock();
        let half = RootEntry::word_index(bdf);
        let Some(context) = contexts.iter().find(|c| c.half == half) else {
            return ContextEntry::EMPTY;
        };
        let mut raw = [0; ContextEntry::WORDS];
        for (value, word) in raw.iter_mut().zip(entry(&context.table, bdf)) {
            *value = word.load(Ordering::Relaxed);
        }
        ContextEntry::from_raw(raw)
    }

    /// Makes sure that there is a context table for `bdf`. Calls are serialised by the probing of
    /// devices.
    pub(crate) fn reserve(&self, bdf: Bdf) -> Result {
        let half = RootEntry::word_index(bdf);
        if self.contexts.lock().iter().any(|c| c.half == half) {
            return Ok(());
        }
        let table = TablePages::new(self.memory, PAGE_SIZE as usize, Gfp::KERNEL)?;
        let phys = table.phys();
        linux::vec::reserve(&self.contexts, |v| v)?;
        let mut contexts = self.contexts.lock();
        contexts
            .push_within_capacity(ContextTable { half, table })
            .map_err(|_| ENOMEM)?;
        if let Some(slot) = self.root.words().get(half) {
            // Release: the table is zeroed before it can be found.
            slot.store(RootHalf::new(phys).raw(), Ordering::Release);
            self.root.publish(core::slice::from_ref(slot));
        }
        Ok(())
    }

    /// Stores `new` as the entry of `bdf`, which has a context table, and says whether there was an
    /// entry. May be called in any context.
    ///
    /// Entries of this driver differ in the first word alone, which is written in one piece: DMA
    /// that is under way finds either the old entry or the new one. The caller invalidates after
    /// it.
    pub(crate) fn set(&self, bdf: Bdf, new: ContextEntry) -> bool {
        let contexts = self.contexts.lock();
        let half = RootEntry::word_index(bdf);
        let Some(context) = contexts.iter().find(|c| c.half == half) else {
            return false;
        };
        let words = entry(&context.table, bdf);
        let present = |word: &AtomicU64| {
            ContextEntry::from_raw([word.load(Ordering::Relaxed), 0, 0, 0]).is_present()
        };
        let was = words.first().is_some_and(present);
        // The present bit comes last.
        for (word, value) in words.iter().zip(new.raw()).rev() {
            word.store(value, Ordering::Release);
        }
        context.table.publish(words);
        was
    }

    /// Makes the entry of `bdf` not present, which blocks its requests once the caller has
    /// invalidated.
    pub(crate) fn clear(&self, bdf: Bdf) {
        let contexts = self.contexts.lock();
        let half = RootEntry::word_index(bdf);
        if let Some(context) = contexts.iter().find(|c| c.half == half) {
            let words = entry(&context.table, bdf);
            for word in words {
                word.store(0, Ordering::Release);
            }
            context.table.publish(words);
        }
    }
}

/// The words of the entry of `bdf`.
fn entry(table: &TablePages, bdf: Bdf) -> &[AtomicU64] {
    let start = ContextEntry::index(bdf) * ContextEntry::WORDS;
    table
        .words()
        .get(start..start + ContextEntry::WORDS)
        .unwrap_or_default()
}
