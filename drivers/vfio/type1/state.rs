// SPDX-License-Identifier: GPL-2.0

//! What a container knows.

use crate::group::domain::Member;
use crate::group::Group;
use crate::space::Space;
use crate::sys::params;
use crate::windows::Windows;
use kernel::prelude::*;
use siov_type1::{granule_shift, visible_page_sizes};
use siov_types::PAGE_SIZE;

/// All that the container's lock guards.
pub(crate) struct State {
    pub(crate) space: Space,
    /// What may be mapped.
    pub(crate) windows: Windows,
    /// Groups whose drivers pin pages and do the DMA.
    pub(crate) emulated: KVec<Group>,
    /// Devices that are told before pinned pages go.
    pub(crate) devices: usize,
    /// Mappings that may still be made.
    pub(crate) dma_avail: u32,
    /// Mappings without a process address.
    pub(crate) stale: usize,
    /// Page sizes that user space may rely on, a bit each.
    pub(crate) page_sizes: u64,
    /// Groups that may write to anything that is mapped without saying so.
    pub(crate) silent_writers: usize,
    /// Pages that are written to are tracked.
    pub(crate) tracking: bool,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            space: Space::new(),
            windows: Windows::default(),
            emulated: KVec::new(),
            devices: 0,
            dma_avail: params::dma_entry_limit(),
            stale: 0,
            page_sizes: !(PAGE_SIZE.wrapping_sub(1)),
            silent_writers: 0,
            tracking: false,
        }
    }

    /// log2 of the smallest page: everything is a multiple of that, and tracked in such pages.
    pub(crate) fn shift(&self) -> u32 {
        granule_shift(self.page_sizes)
    }

    /// The size of tracked pages, if there are any.
    pub(crate) fn track(&self) -> Option<u32> {
        self.tracking.then(|| self.shift())
    }

    /// Looks again which page sizes all domains have.
    pub(crate) fn update_page_sizes(&mut self) {
        self.page_sizes = visible_page_sizes(self.space.page_sizes());
    }

    /// Whether there are mediated devices: their drivers may ask for memory at any time, which must have
    /// an address then.
    pub(crate) fn has_mediated(&self) -> bool {
        let mut members = self.space.domains().iter().flat_map(|d| d.members());
        !self.emulated.is_empty() || members.any(Member::is_auxiliary)
    }

    /// Whether `group` is in the container.
    pub(crate) fn has_group(&self, group: &Group) -> bool {
        let mut members = self.space.domains().iter().flat_map(|d| d.members());
        self.emulated.contains(group) || members.any(|member| member.group() == group)
    }
}
