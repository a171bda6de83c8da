// SPDX-License-Identifier: GPL-2.0

//! The address space of a container as user space sees it: mappings that processes pay for, and
//! that are tracked.
//!
//! What is mapped, pinned and unpinned, and when, is the business of [`Ioas`], whose areas are the
//! mappings. Here is what does not concern memory safety: accounts are settled when pins have gone,
//! and writes are marked.

mod pages;

pub(crate) mod mapping;

use crate::error::Failure;
use crate::group::Group;
use crate::space::mapping::Mapping;
use crate::sys::domain::{Domain, Member};
use crate::sys::endpoint::NewEndpoint;
use crate::sys::ioas::{AreaInfo, Detached, FillOptions, Ioas, IoasId};
use core::ops::ControlFlow;
use kernel::prelude::*;
use siov_type1::{window, Prot};
use siov_types::{Iova, IovaRange, PageCount};

/// Mappings and domains.
pub(crate) struct Space {
    ioas: Ioas<Mapping>,
}

impl Space {
    /// No mappings, no domains.
    pub(crate) fn new(id: IoasId) -> Self {
        Self {
            ioas: Ioas::new(id),
        }
    }

    /// The domains, the oldest first.
    pub(crate) fn domains(&self) -> &[Domain] {
        self.ioas.domains()
    }

    /// The groups in all domains.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.domains().iter().flat_map(|domain| domain.members())
    }

    /// What all domains have in common of what they can translate; everything without domains.
    pub(crate) fn aperture(&self) -> IovaRange {
        let common = |a: IovaRange, d: &Domain| window::intersection(a, d.aperture()).unwrap_or(a);
        self.domains().iter().fold(IovaRange::ALL, common)
    }

    /// Page sizes that all domains have, a bit each; all ones without domains.
    pub(crate) fn page_sizes(&self) -> u64 {
        let common = |sizes: u64, d: &Domain| sizes & d.page_sizes();
        self.domains().iter().fold(u64::MAX, common)
    }

    /// A mapping that shares an address with `range`.
    pub(crate) fn overlapping(&self, range: IovaRange) -> Option<AreaInfo> {
        self.ioas.overlapping(range)
    }

    /// The mapping that contains `iova`, or else the first one above.
    pub(crate) fn from(&self, iova: Iova) -> Option<AreaInfo> {
        self.ioas.from(iova)
    }

    /// The mapping that contains `iova`.
    pub(crate) fn at(&self, iova: Iova) -> Option<&Mapping> {
        self.ioas.at(iova)
    }

    /// The mapping that contains `iova`, to change it.
    pub(crate) fn at_mut(&mut self, iova: Iova) -> Option<&mut Mapping> {
        self.ioas.at_mut(iova).map(|(mapping, _)| mapping)
    }

    /// Calls `f` on the mappings that overlap `range`, in order, with their sizes, until it breaks
    /// off.
    pub(crate) fn for_each_in<B>(
        &mut self,
        range: IovaRange,
        mut f: impl FnMut(u64, &mut Mapping) -> ControlFlow<B>,
    ) -> Option<B> {
        self.ioas
            .for_each_in(range, |area| f(area.size, area.memory))
    }

    /// Maps `range` to the memory of the calling process from `vaddr` on. Without domains nothing
    /// is pinned: drivers of emulated devices will ask for single pages. If `track` has the log2
    /// size of pages in bytes, it is tracked which of them are written to.
    ///
    /// # Errors
    ///
    /// `EEXIST` where something is mapped, and those of pinning, accounting and the IOMMU driver;
    /// nothing is mapped then.
    pub(crate) fn map(
        &mut self,
        range: IovaRange,
        vaddr: usize,
        prot: Prot,
        options: FillOptions<'_>,
        track: Option<u32>,
    ) -> Result<(), Failure> {
        let mapping = Mapping::new(vaddr)?;
        if let Err((failure, mut mapping)) = self.ioas.map(range, prot, mapping, options) {
            mapping.settle(PageCount::ZERO);
            return Err(failure);
        }
        let Some(shift) = track else {
            return Ok(());
        };
        self.track_one(range, shift).map_err(|e| {
            self.remove(range.first());
            e.into()
        })
    }

    fn track_one(&mut self, range: IovaRange, shift: u32) -> Result {
        let (mapping, pins) = self.ioas.at_mut(range.first()).ok_or(EINVAL)?;
        mapping.track(range.first(), range.size().ok_or(EINVAL)?, shift, pins)
    }

    /// Has the mapping at `iova` translated to the registers that its process has there, after that
    /// has become another one, or has them elsewhere.
    ///
    /// # Errors
    ///
    /// `ENODEV` when it has exited, `ENOMEM`; the registers stay those of the old one then, as long
    /// as it has them.
    pub(crate) fn change_owner(&mut self, iova: Iova, options: FillOptions<'_>) -> Result {
        self.ioas.change_owner(iova, options)
    }

    /// Removes the mapping that contains `iova`, unless drivers have pinned pages of it.
    pub(crate) fn remove(&mut self, iova: Iova) -> Option<(AreaInfo, Mapping)> {
        self.ioas.remove(iova).map(settled)
    }

    /// Removes the one mapping that covers exactly `range`, unless drivers have pinned pages of it.
    pub(crate) fn remove_exact(&mut self, range: IovaRange) -> Option<(AreaInfo, Mapping)> {
        self.ioas.remove_exact(range).map(settled)
    }

    /// Removes all mappings; how many that were. Those that drivers have pinned pages of stay, with
    /// a warning: no driver should, when all devices are closed.
    pub(crate) fn remove_all(&mut self) -> usize {
        let mut count = 0usize;
        let mut next = Some(Iova::new(0));
        while let Some(area) = next.and_then(|next| self.from(next)) {
            if !kernel::warn_on!(self.remove(area.range.first()).is_none()) {
                count += 1;
            }
            next = area.range.last().checked_add(1);
        }
        count
    }

    /// Attaches a group to the domain at `index`.
    ///
    /// # Errors
    ///
    /// Those of [`Domain::attach`].
    pub(crate) fn attach(&mut self, index: usize, endpoint: &NewEndpoint<'_>) -> Result {
        self.ioas.attach(index, endpoint)
    }

    /// Detaches a group from its domain, which stays.
    pub(crate) fn detach(&mut self, group: &Group) -> Option<Detached> {
        self.ioas.detach(group)
    }

    /// Notes that the driver of `group` pins what its devices write to. Whether that is news.
    pub(crate) fn set_pinning(&mut self, group: &Group) -> bool {
        self.ioas.set_pinning(group)
    }

    /// Adds a domain, which gets all mappings. If it is the first one, they are pinned.
    ///
    /// # Errors
    ///
    /// Those of pinning, accounting and the IOMMU driver; nothing has changed then, and the domain
    /// is dropped.
    pub(crate) fn add_domain(
        &mut self,
        domain: Domain,
        options: FillOptions<'_>,
    ) -> Result<(), Failure> {
        let added = self.ioas.add_domain(domain, options);
        if added.is_err() {
            self.settle_without_domains();
        }
        added
    }

    /// Removes the domain at `index`, and with the last one all pins but those of drivers of
    /// emulated devices.
    pub(crate) fn remove_domain(&mut self, index: usize) {
        self.ioas.remove_domain(index);
        self.settle_without_domains();
    }

    /// Without domains, processes pay for what drivers of emulated devices have pinned, and nothing
    /// else.
    fn settle_without_domains(&mut self) {
        if self.domains().is_empty() {
            for area in self.ioas.iter_mut() {
                area.memory.settle(area.pins.memory());
            }
        }
    }
}

/// What was removed, and is paid back.
fn settled((area, mut mapping): (AreaInfo, Mapping)) -> (AreaInfo, Mapping) {
    mapping.settle(PageCount::ZERO);
    (area, mapping)
}

impl Drop for Space {
    fn drop(&mut self) {
        self.remove_all();
    }
}
