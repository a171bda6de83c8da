// SPDX-License-Identifier: GPL-2.0

//! The address space of a container: mappings, and the IOMMU domains that all translate them alike.
//!
//! # Who owns pins
//!
//! A frame of memory that a domain of the space translates to is pinned, once, for all domains. The
//! tables of the first domain say which frames those are: whoever takes a range out of the tables reads
//! them there first, and unpins them once no domain and no hardware knows them any more. Pins for drivers
//! of emulated devices are counted apart, by [`Mapping`].

mod drain;
mod entry;
mod fill;
mod pages;

pub(crate) mod mapping;
pub(crate) use entry::Entry;
pub(crate) use mapping::Access;

use crate::group::domain::Domain;
use crate::space::mapping::Mapping;
use core::ops::ControlFlow;
use entry::Key;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use siov_types::{Iova, IovaRange};

/// Why memory could not be mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process of this number may not lock as much (`ENOMEM`).
    MemoryLimit(i32),
    /// Anything else.
    Other(Error),
}

impl Failure {
    /// What user space gets to see.
    pub(crate) fn error(self) -> Error {
        match self {
            Self::MemoryLimit(_) => ENOMEM,
            Self::Other(e) => e,
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

impl From<kernel::alloc::AllocError> for Failure {
    fn from(e: kernel::alloc::AllocError) -> Self {
        Self::Other(e.into())
    }
}

/// How to map.
#[derive(Clone, Copy, Default)]
pub(crate) struct MapOptions {
    /// Each page on its own (`disable_hugepages`).
    pub(crate) one_by_one: bool,
    /// Track what is written to, in pages of this log2 size in bytes.
    pub(crate) track: Option<u32>,
}

/// Mappings and domains.
pub(crate) struct Space {
    mappings: RBTree<Key, Mapping>,
    domains: KVec<Domain>,
}

impl Space {
    /// No mappings, no domains.
    pub(crate) fn new() -> Self {
        Self {
            mappings: RBTree::new(),
            domains: KVec::new(),
        }
    }

    /// The domains, the oldest first.
    pub(crate) fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// The domains, to attach groups to, or to change what is known of them.
    pub(crate) fn domains_mut(&mut self) -> &mut [Domain] {
        &mut self.domains
    }

    /// What all domains have in common of what they can translate; everything without domains.
    pub(crate) fn aperture(&self) -> IovaRange {
        let common = |a: IovaRange, d: &Domain| {
            siov_type1::window::intersection(a, d.aperture()).unwrap_or(a)
        };
        self.domains.iter().fold(IovaRange::ALL, common)
    }

    /// Page sizes that all domains have, a bit each; all ones without domains.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.domains
            .iter()
            .fold(u64::MAX, |sizes, d| sizes & d.page_sizes())
    }

    /// A mapping that shares an address with `range`.
    pub(crate) fn overlapping(&self, range: IovaRange) -> Option<Entry> {
        let cursor = self.mappings.cursor_lower_bound(&Key(range))?;
        let (key, mapping) = cursor.current();
        (*key == Key(range)).then(|| Entry::new(key, mapping))
    }

    /// The mapping that contains `iova`, or else the first one above.
    pub(crate) fn from(&self, iova: Iova) -> Option<Entry> {
        let cursor = self.mappings.cursor_lower_bound(&Key::at(iova)?)?;
        let (key, mapping) = cursor.current();
        Some(Entry::new(key, mapping))
    }

    /// The mapping that contains `iova`.
    pub(crate) fn at(&self, iova: Iova) -> Option<&Mapping> {
        self.mappings.get(&Key::at(iova)?)
    }

    /// The mapping that contains `iova`, to change it.
    pub(crate) fn at_mut(&mut self, iova: Iova) -> Option<&mut Mapping> {
        self.mappings.get_mut(&Key::at(iova)?)
    }

    /// Calls `f` on the mappings that overlap `range`, in order, until it breaks off.
    pub(crate) fn for_each_in<B>(
        &mut self,
        range: IovaRange,
        mut f: impl FnMut(Entry, &mut Mapping) -> ControlFlow<B>,
    ) -> Option<B> {
        let mut cursor = self
            .mappings
            .cursor_lower_bound_mut(&Key::at(range.first())?)?;
        loop {
            let (key, mapping) = cursor.current_mut();
            if key.0.first() > range.last() {
                return None;
            }
            if let ControlFlow::Break(value) = f(Entry::new(key, mapping), mapping) {
                return Some(value);
            }
            cursor = cursor.move_next()?;
        }
    }

    /// Maps `range` on to the memory of the calling process from `vaddr` on. Without domains nothing is
    /// pinned: drivers of emulated devices will ask for single pages.
    ///
    /// The caller has seen to it that nothing overlaps.
    ///
    /// # Errors
    ///
    /// Those of pinning, accounting and the IOMMU driver; nothing is mapped then.
    pub(crate) fn map(
        &mut self,
        range: IovaRange,
        vaddr: usize,
        access: Access,
        options: MapOptions,
    ) -> Result<(), Failure> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let (iova, size) = (range.first().raw(), Key(range).size());
        let mut mapping = Mapping::new(vaddr, access)?;

        let (mut done, mut result) = (size, Ok(()));
        if !self.domains.is_empty() {
            (done, result) =
                fill::fill(&self.domains, iova, size, &mut mapping, options.one_by_one);
            mapping.mapped = true;
        }
        if let (Ok(()), Some(shift)) = (&result, options.track) {
            result = mapping.track(range, shift).map_err(Failure::from);
        }
        match result {
            Ok(()) => {
                self.mappings.insert(node.into_node(Key(range), mapping));
            }
            Err(_) => self.release(iova, done, mapping),
        }
        result
    }

    /// Takes the mapping that contains `iova` away.
    pub(crate) fn remove(&mut self, iova: Iova) -> Option<Entry> {
        let (key, mapping) = self.mappings.remove_node(&Key::at(iova)?)?.to_key_value();
        let entry = Entry::new(&key, &mapping);
        self.release(key.0.first().raw(), key.size(), mapping);
        Some(entry)
    }

    /// Takes away the one mapping that covers exactly `range`, unless drivers have pinned pages of it.
    pub(crate) fn remove_unpinned(&mut self, range: IovaRange) -> Option<Entry> {
        let cursor = self.mappings.cursor_lower_bound_mut(&Key(range))?;
        let (key, mapping) = cursor.current();
        let entry = Entry::new(key, mapping);
        if entry.range != range || entry.has_pins {
            return None;
        }
        let (_, node) = cursor.remove_current();
        let (_, mapping) = node.to_key_value();
        self.release(range.first().raw(), entry.size, mapping);
        Some(entry)
    }

    /// Takes the first `size` bytes of a mapping out of the domains, and lets go of it.
    fn release(&self, iova: u64, size: u64, mut mapping: Mapping) {
        if mapping.mapped {
            drain::drain(&self.domains, iova, size, &mapping);
            mapping.mapped = false;
            mapping.settle(false);
        }
        kernel::warn_on!(mapping.has_pins());
    }

    /// Takes everything away; how many mappings that were.
    pub(crate) fn remove_all(&mut self) -> usize {
        let mut count = 0usize;
        while let Some(first) = self.from(Iova::new(0)) {
            self.remove(first.range.first());
            count = count.wrapping_add(1);
        }
        count
    }

    /// Adds a domain, which gets all mappings. Those that were not pinned are pinned now.
    ///
    /// # Errors
    ///
    /// Those of pinning, accounting and the IOMMU driver; nothing has changed then, and the domain is
    /// dropped.
    pub(crate) fn add_domain(
        &mut self,
        domain: Domain,
        options: MapOptions,
    ) -> Result<(), Failure> {
        self.domains.reserve(1, GFP_KERNEL)?;
        let new = core::slice::from_ref(&domain);
        let mut failed = None;
        for (key, mapping) in self.mappings.iter_mut() {
            let (iova, size) = (key.0.first().raw(), key.size());
            let (done, result) = if mapping.mapped {
                fill::copy(&self.domains, new, iova, size, mapping)
            } else {
                let (done, result) = fill::fill(new, iova, size, mapping, options.one_by_one);
                if result.is_err() {
                    Self::undo_fill(new, iova, done, mapping);
                }
                (done, result)
            };
            if let Err(failure) = result {
                failed = Some((iova, done, failure));
                break;
            }
        }
        if let Some((end, done, failure)) = failed {
            for (key, mapping) in self.mappings.iter_mut() {
                let (iova, size) = (key.0.first().raw(), key.size());
                let here = iova == end;
                if mapping.mapped {
                    domain.table().unmap(iova, if here { done } else { size });
                } else if !here {
                    Self::undo_fill(new, iova, size, mapping);
                }
                if here {
                    break;
                }
            }
            return Err(failure);
        }
        for mapping in self.mappings.values_mut() {
            mapping.mapped = true;
        }
        self.domains.push(domain, GFP_KERNEL)?;
        Ok(())
    }

    fn undo_fill(domains: &[Domain], iova: u64, size: u64, mapping: &mut Mapping) {
        drain::drain(domains, iova, size, mapping);
        mapping.settle(true);
    }

    /// Takes the domain at `index` away, which has no groups any more. The caller has taken everything
    /// out of it with [`Self::remove_all`] or [`Self::release_frames`] when it is the only one.
    pub(crate) fn remove_domain(&mut self, index: usize) {
        // Another domain has to be able to tell what is pinned.
        if self.domains.len() == 1 {
            self.release_frames();
        }
        let _ = self.domains.remove(index);
    }

    /// Takes all mappings out of the domains and lets go of the frames. Processes go on paying for what
    /// drivers of emulated devices have pinned.
    pub(crate) fn release_frames(&mut self) {
        for (key, mapping) in self.mappings.iter_mut() {
            if !mapping.mapped {
                continue;
            }
            let iova = key.0.first().raw();
            drain::drain(&self.domains, iova, key.size(), mapping);
            mapping.mapped = false;
            mapping.settle(true);
        }
    }
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.remove_all();
    }
}
