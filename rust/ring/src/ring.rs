// SPDX-License-Identifier: GPL-2.0

//! The page that KVM and user space share: `struct kvm_coalesced_mmio_ring`.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::{Data, Space, Write};

/// `struct kvm_coalesced_mmio`: a write that waits.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Entry {
    addr: AtomicU64,
    len: AtomicU32,
    pio: AtomicU32,
    data: AtomicU64,
}

impl Entry {
    /// Stores a length, valid or not: user space may.
    pub fn set_len(&self, len: u32) {
        self.len.store(len, Ordering::Relaxed);
    }

    #[inline]
    fn store(&self, write: &Write) {
        self.addr.store(write.addr, Ordering::Relaxed);
        self.len.store(write.data.len() as u32, Ordering::Relaxed);
        self.pio.store(write.space.raw(), Ordering::Relaxed);
        self.data.store(write.data.word(), Ordering::Relaxed);
    }

    #[inline]
    fn load(&self) -> Option<Write> {
        let (word, len) = (&self.data, &self.len);
        Some(Write {
            space: Space::from_raw(self.pio.load(Ordering::Relaxed))?,
            addr: self.addr.load(Ordering::Relaxed),
            data: Data::of_entry(word.load(Ordering::Relaxed), len.load(Ordering::Relaxed))?,
        })
    }
}

/// Why a write is not in the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// One entry is free, and that one stays free, so that a full ring differs from an empty one.
    Full,
    /// User space has stored an index that is not in the ring.
    BadIndex,
}

/// The ring: one page. All zeroes is an empty one.
#[derive(Debug)]
#[repr(C)]
pub struct Ring {
    /// The oldest entry, which is the next to be read. User space stores it.
    first: AtomicU32,
    /// The entry to be filled next. KVM stores it.
    last: AtomicU32,
    entries: [Entry; Ring::ENTRIES as usize],
    /// The rest of the page, which is not used.
    spare: AtomicU64,
}

#[cfg(not(loom))]
mod layout {
    use super::{Entry, Ring};
    use core::mem::{offset_of, size_of};
    use static_assertions::const_assert_eq;

    const_assert_eq!(size_of::<Entry>(), 24);
    const_assert_eq!(offset_of!(Entry, addr), 0);
    const_assert_eq!(offset_of!(Entry, len), 8);
    const_assert_eq!(offset_of!(Entry, pio), 12);
    const_assert_eq!(offset_of!(Entry, data), 16);
    const_assert_eq!(offset_of!(Ring, first), 0);
    const_assert_eq!(offset_of!(Ring, last), 4);
    const_assert_eq!(offset_of!(Ring, entries), 8);
    const_assert_eq!(size_of::<Ring>(), Ring::BYTES);
}

impl Ring {
    /// Bytes of the ring: a page.
    pub const BYTES: usize = 4096;

    /// `KVM_COALESCED_MMIO_MAX` for pages of 4 KiB; a few in models, which soon wrap around.
    pub const ENTRIES: u32 = if cfg!(loom) { 3 } else { 170 };

    /// Writes that the ring holds: one entry stays free.
    pub const CAPACITY: u32 = Self::ENTRIES - 1;

    /// The index that follows `index`.
    #[inline]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the addition is for indices below CAPACITY"
    )]
    const fn after(index: u32) -> u32 {
        if index >= Self::CAPACITY {
            0
        } else {
            index + 1
        }
    }

    /// How many entries wait; 0 if `first` is not in the ring. `last` is.
    #[inline]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "both are below ENTRIES, and what is subtracted is not the larger one"
    )]
    const fn distance(first: u32, last: u32) -> u32 {
        if first >= Self::ENTRIES {
            0
        } else if last >= first {
            last - first
        } else {
            Self::ENTRIES - first + last
        }
    }

    /// Appends `write` and returns how many wait now (0 if `first` is not in the ring, because then
    /// there is no answer).
    ///
    /// # Errors
    ///
    /// The write has to go to user space in the way of one that no zone takes.
    #[inline]
    pub fn push(&self, write: &Write) -> Result<u32, Refusal> {
        let last = self.last.load(Ordering::Relaxed);
        let Some(entry) = self.entries.get(last as usize) else {
            return Err(Refusal::BadIndex);
        };
        let next = Self::after(last);
        // Acquire: the consumer has read an entry before it gives it back.
        let first = self.first.load(Ordering::Acquire);
        if next == first {
            return Err(Refusal::Full);
        }
        entry.store(write);
        // Release: a consumer that sees the index sees the entry.
        self.last.store(next, Ordering::Release);
        Ok(Self::distance(first, next))
    }

    /// Takes the oldest write, or `None` if none waits.
    ///
    /// User space trusts its kernel: an entry or an index that is not valid empties the ring.
    #[inline]
    pub fn pop(&self) -> Option<Write> {
        let first = self.first.load(Ordering::Relaxed);
        // Acquire: pairs with the release in `push`.
        let last = self.last.load(Ordering::Acquire);
        if first == last {
            return None;
        }
        let write = self
            .entries
            .get(first as usize)
            .filter(|_| last < Self::ENTRIES)
            .and_then(Entry::load);
        // Release: the entry may be filled again only when it has been read.
        match write {
            Some(_) => self.first.store(Self::after(first), Ordering::Release),
            None => self.first.store(last, Ordering::Release),
        }
        write
    }

    /// How many writes wait; 0 if an index is not in the ring.
    pub fn len(&self) -> u32 {
        let (first, last) = self.indices();
        if last < Self::ENTRIES {
            Self::distance(first, last)
        } else {
            0
        }
    }

    /// Whether no write waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `first` and `last`.
    pub fn indices(&self) -> (u32, u32) {
        (
            self.first.load(Ordering::Acquire),
            self.last.load(Ordering::Acquire),
        )
    }

    /// Stores `first` and `last`, valid or not: user space may.
    pub fn set_indices(&self, first: u32, last: u32) {
        self.first.store(first, Ordering::Release);
        self.last.store(last, Ordering::Release);
    }

    /// Entry `index`, if there is one.
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)
    }

    /// The bytes after the last entry.
    pub fn spare(&self) -> &AtomicU64 {
        &self.spare
    }
}

/// An empty ring.
impl Default for Ring {
    fn default() -> Self {
        Self {
            first: AtomicU32::default(),
            last: AtomicU32::default(),
            entries: core::array::from_fn(|_| Entry::default()),
            spare: AtomicU64::default(),
        }
    }
}
