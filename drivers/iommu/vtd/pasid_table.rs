// SPDX-License-Identifier: GPL-2.0

//! The PASID directory of a function and the PASID tables below it (VT-d spec, 9.5 and 9.6): one
//! entry for each address space that the function's requests can be in.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use linux::iommu::driver::{Gfp, TableMemory, TablePages};
use siov_types::{Pasid, PAGE_SIZE};
use siov_vtd::{ContextEntry, DirectoryEntry, DirectorySize, PasidEntry};

/// Tables are added when one of their 64 PASIDs is first used, and stay.
#[pin_data]
pub(crate) struct PasidTable {
    memory: TableMemory,
    size: DirectorySize,
    directory: TablePages,
    /// Sorted by index.
    #[pin]
    leaves: Mutex<KVec<Leaf>>,
}

struct Leaf {
    /// Index in the directory.
    index: usize,
    table: TablePages,
}

impl PasidTable {
    /// An empty table for PASIDs of `pasid_bits` bits.
    pub(crate) fn new(memory: TableMemory, pasid_bits: u8) -> Result<impl PinInit<Self, Error>> {
        let size = DirectorySize::for_pasid_bits(pasid_bits).ok_or(EINVAL)?;
        let directory = TablePages::new(memory, size.bytes(), Gfp::KERNEL)?;
        Ok(try_pin_init!(Self {
            memory,
            size,
            directory,
            leaves <- new_mutex!(KVec::new(), "vtd PASID tables"),
        }))
    }

    /// The context entry that points here.
    pub(crate) fn context_entry(&self) -> ContextEntry {
        ContextEntry::new(self.directory.phys(), self.size)
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.size.bytes().max(PAGE_SIZE as usize) + self.leaves.lock().len() * PAGE_SIZE as usize
    }

    /// Makes sure that an entry for `pasid` can be stored without allocating.
    pub(crate) fn reserve(&self, pasid: Pasid) -> Result {
        if !self.size.covers(pasid) {
            return Err(ERANGE);
        }
        let index = pasid.dir_index();
        let mut leaves = self.leaves.lock();
        let Err(at) = leaves.binary_search_by_key(&index, |l| l.index) else {
            return Ok(());
        };
        let table = TablePages::new(self.memory, PAGE_SIZE as usize, Gfp::KERNEL)?;
        let phys = table.phys();
        leaves.reserve(1, GFP_KERNEL)?;
        leaves
            .insert_within_capacity(at, Leaf { index, table })
            .map_err(|_| ENOMEM)?;
        if let Some(slot) = self.directory.words().get(index) {
            // Release: the table is zeroed before it can be found.
            slot.store(DirectoryEntry::new(phys).raw(), Ordering::Release);
            self.directory.publish(core::slice::from_ref(slot));
        }
        Ok(())
    }

    /// The entry of `pasid`.
    pub(crate) fn get(&self, pasid: Pasid) -> PasidEntry {
        self.with(pasid, |_, words| {
            let mut raw = [0; PasidEntry::WORDS];
            for (value, word) in raw.iter_mut().zip(words) {
                *value = word.load(Ordering::Relaxed);
            }
            PasidEntry::from_raw(raw)
        })
        .unwrap_or(PasidEntry::EMPTY)
    }

    /// Stores `new` where there was no present entry, and where [`Self::reserve`] was called.
    pub(crate) fn set(&self, pasid: Pasid, new: PasidEntry) {
        self.with(pasid, |table, words| {
            // The present bit comes last.
            for (word, value) in words.iter().zip(new.raw()).rev() {
                word.store(value, Ordering::Release);
            }
            table.publish(words);
        });
    }

    /// Clears the present bit and leaves the rest, for the unit may be in the middle of reading it.
    /// The caller invalidates, and then calls [`Self::erase`].
    pub(crate) fn clear_present(&self, pasid: Pasid) {
        self.with(pasid, |table, words| {
            if let Some(word) = words.first() {
                let entry =
                    PasidEntry::from_raw([word.load(Ordering::Relaxed), 0, 0, 0, 0, 0, 0, 0]);
                let [value, ..] = entry.without_present().raw();
                word.store(value, Ordering::Release);
                table.publish(core::slice::from_ref(word));
            }
        });
    }

    /// Zeroes an entry that is not present.
    pub(crate) fn erase(&self, pasid: Pasid) {
        self.with(pasid, |table, words| {
            for word in words {
                word.store(0, Ordering::Relaxed);
            }
            table.publish(words);
        });
    }

    /// Calls `f` for each present entry, by rising PASID.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Pasid, PasidEntry)) {
        let mut at = 0;
        while let Some((index, next)) = {
            let leaves = self.leaves.lock();
            leaves.get(at).map(|l| (l.index, at + 1))
        } {
            at = next;
            for n in 0..PasidEntry::COUNT {
                let Some(pasid) = Pasid::new((index * PasidEntry::COUNT + n) as u32) else {
                    break;
                };
                let entry = self.get(pasid);
                if entry.is_present() {
                    f(pasid, entry);
                }
            }
        }
    }

    /// Calls `f` with the table that holds the entry of `pasid`, and the entry's words; `None` when
    /// there is no such table.
    fn with<R>(&self, pasid: Pasid, f: impl FnOnce(&TablePages, &[AtomicU64]) -> R) -> Option<R> {
        let leaves = self.leaves.lock();
        let at = leaves
            .binary_search_by_key(&pasid.dir_index(), |l| l.index)
            .ok()?;
        let table = &leaves.get(at)?.table;
        let start = pasid.table_index() * PasidEntry::WORDS;
        let words = table.words().get(start..start + PasidEntry::WORDS)?;
        Some(f(table, words))
    }
}
