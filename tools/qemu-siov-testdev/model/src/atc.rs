// SPDX-License-Identifier: GPL-2.0

//! The address translation cache: translations that ATS gave (PCIe spec, 10.2 and 10.3).

use std::collections::BTreeMap;

use siov_types::{Iova, Pasid, PAGE_SHIFT};

use crate::host::{Invalidation, Translation};

/// Translations by PASID and page number.
#[derive(Debug, Default)]
pub(crate) struct Atc {
    entries: BTreeMap<(Option<Pasid>, u64), Translation>,
}

impl Atc {
    /// Entries that the cache holds; a further one empties it. Small enough that tests see refills.
    const CAPACITY: usize = 1024;

    pub(crate) fn get(&self, pasid: Option<Pasid>, address: Iova) -> Option<Translation> {
        let key = (pasid, address.raw() >> PAGE_SHIFT);
        self.entries.get(&key).copied()
    }

    pub(crate) fn insert(&mut self, pasid: Option<Pasid>, address: Iova, entry: Translation) {
        if self.entries.len() >= Self::CAPACITY {
            self.clear();
        }
        let key = (pasid, address.raw() >> PAGE_SHIFT);
        self.entries.insert(key, entry);
    }

    pub(crate) fn invalidate(&mut self, invalidation: Invalidation) {
        let Invalidation { pasid, range } = invalidation;
        let first = range.first().raw() >> PAGE_SHIFT;
        let last = range.last().raw() >> PAGE_SHIFT;
        self.entries
            .retain(|&(owner, page), _| owner != pasid || page < first || page > last);
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use siov_types::{IovaRange, PhysAddr};

    const ENTRY: Translation = Translation {
        page: PhysAddr::new(0x5000),
        writable: true,
    };

    #[test]
    fn invalidation_is_by_pasid_and_page() {
        let (a, b) = (Pasid::new(1), Pasid::new(2));
        let mut atc = Atc::default();
        for pasid in [None, a, b] {
            for page in 0..4 {
                atc.insert(pasid, Iova::new(page << 12), ENTRY);
            }
        }
        let range = IovaRange::new(Iova::new(0x1800), Iova::new(0x2000)).unwrap();
        atc.invalidate(Invalidation { pasid: a, range });
        let left = |pasid| {
            (0..4)
                .map(|page| atc.get(pasid, Iova::new(page << 12)).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(left(a), [true, false, false, true]);
        assert_eq!(left(b), [true; 4]);
        assert_eq!(left(None), [true; 4]);
        let range = IovaRange::ALL;
        atc.invalidate(Invalidation { pasid: None, range });
        assert_eq!(atc.get(None, Iova::new(0)), None);
        assert_eq!(atc.get(b, Iova::new(0x3fff)), Some(ENTRY));
    }

    #[test]
    fn the_cache_does_not_grow_without_end() {
        let mut atc = Atc::default();
        for page in 0..10_000_u64 {
            atc.insert(None, Iova::new(page << 12), ENTRY);
        }
        assert!(atc.entries.len() <= Atc::CAPACITY);
        atc.clear();
        for page in 0..Atc::CAPACITY as u64 {
            atc.insert(None, Iova::new(page << 12), ENTRY);
        }
        assert_eq!(atc.entries.len(), Atc::CAPACITY);
        atc.insert(None, Iova::new(9_999 << 12), ENTRY);
        assert_eq!(atc.entries.len(), 1);
        assert_eq!(atc.get(None, Iova::new(9_999 << 12)), Some(ENTRY));
    }
}
