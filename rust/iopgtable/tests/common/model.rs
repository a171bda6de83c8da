// SPDX-License-Identifier: GPL-2.0

//! What a page table should do, on a map of pages and a set of tables, without any tree.

use super::{G1, K4, M2};
use siov_iopgtable::{Error, LeafSize, Levels, Prot};
use std::collections::{BTreeMap, BTreeSet};

/// One page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    pub size: u64,
    pub phys: u64,
    pub prot: Prot,
}

/// Outcome of an unmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removed {
    pub bytes: u64,
    /// First and last byte to be invalidated.
    pub touched: Option<(u64, u64)>,
}

pub struct Model {
    max_leaf: u64,
    /// Bytes that one entry of the root translates.
    root_entry: u64,
    /// By first IOVA.
    pub pages: BTreeMap<u64, Page>,
    /// Tables below the root: bytes of the range each translates, and the start of the range.
    pub tables: BTreeSet<(u64, u64)>,
}

impl Model {
    pub fn new(levels: Levels, max_leaf: LeafSize) -> Self {
        Self {
            max_leaf: max_leaf.bytes(),
            root_entry: 1 << (levels.address_bits() - 9),
            pages: BTreeMap::new(),
            tables: BTreeSet::new(),
        }
    }

    /// The page that holds `iova`, and where it starts.
    pub fn page(&self, iova: u64) -> Option<(u64, Page)> {
        let (start, page) = self.pages.range(..=iova).next_back()?;
        (iova - start < page.size).then_some((*start, *page))
    }

    fn any_in(&self, start: u64, len: u64) -> bool {
        self.page(start).is_some() || self.pages.range(start..start + len).next().is_some()
    }

    pub fn map(&mut self, iova: u64, phys: u64, len: u64, prot: Prot) -> (u64, Result<(), Error>) {
        let mut done = 0;
        while done < len {
            let (at, to) = (iova + done, phys + done);
            let fits =
                |size: &u64| *size <= self.max_leaf && (at | to) % size == 0 && len - done >= *size;
            let size = [G1, M2, K4].into_iter().find(fits).unwrap();
            // Tables on the way, unless a larger page is in the way.
            let blocked = |span: u64| self.page(at).is_some_and(|(_, page)| page.size >= span);
            let mut span = size * 512;
            let mut missing = Vec::new();
            while span <= self.root_entry {
                if !blocked(span) {
                    missing.push((span, at / span * span));
                }
                span *= 512;
            }
            self.tables.extend(missing);
            if self.any_in(at, size) {
                return (done, Err(Error::Exists));
            }
            self.tables
                .retain(|(span, start)| *start / size != at / size || *span > size);
            self.pages.insert(
                at,
                Page {
                    size,
                    phys: to,
                    prot,
                },
            );
            done += size;
        }
        (done, Ok(()))
    }

    pub fn unmap(&mut self, iova: u64, len: u64) -> Removed {
        let mut at = iova;
        let mut touched: Option<(u64, u64)> = None;
        let mut touch = |first: u64, last: u64| {
            touched = Some(touched.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
        };
        while at < iova + len {
            let Some((start, page)) = self.page(at) else {
                break;
            };
            touch(start, start + page.size - 1);
            self.pages.remove(&start);
            if start == at && page.size <= iova + len - at {
                at += page.size;
                continue;
            }
            self.tables.insert((page.size, start));
            let size = page.size / 512;
            for part in 0..512 {
                let phys = page.phys + part * size;
                let piece = Page { size, phys, ..page };
                self.pages.insert(start + part * size, piece);
            }
        }
        self.tables
            .retain(|(span, start)| *start < iova || start + span > at);
        Removed {
            bytes: at - iova,
            touched,
        }
    }
}
