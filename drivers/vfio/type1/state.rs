// SPDX-License-Identifier: GPL-2.0

//! Container state.

use crate::group::Group;
use crate::space::Space;
use crate::sys::domain::Member;
use crate::sys::ioas::IoasId;
use crate::sys::params;
use crate::windows::Windows;
use kernel::prelude::*;
use linux::count::Count;
use siov_type1::{granule_shift, visible_page_sizes};

/// All that the container's lock guards.
pub(crate) struct State {
    /// Mappings and domains.
    pub(crate) space: Space,
    /// What may be mapped.
    pub(crate) windows: Windows,
    /// Groups whose drivers pin pages and do the DMA.
    pub(crate) emulated: KVec<Group>,
    /// Open devices whose drivers are notified before pinned pages are unmapped.
    pub(crate) devices: Count,
    /// Mappings that may still be made.
    pub(crate) dma_avail: Count,
    /// Mappings whose process address is invalid.
    pub(crate) invalid_vaddrs: Count,
    /// Page sizes that user space may rely on, a bit each.
    pub(crate) page_sizes: u64,
    /// Groups that do not report dirty pages by pinning: they may write to anything that is mapped.
    pub(crate) non_pinning_groups: Count,
    /// Pages that are written to are tracked.
    pub(crate) tracking: bool,
}

impl State {
    /// Of a new container, with an address space of this id.
    pub(crate) fn new(id: IoasId) -> Self {
        Self {
            space: Space::new(id),
            windows: Windows::default(),
            emulated: KVec::new(),
            devices: Count::ZERO,
            dma_avail: Count::new(params::dma_entry_limit() as usize),
            invalid_vaddrs: Count::ZERO,
            page_sizes: visible_page_sizes(u64::MAX),
            non_pinning_groups: Count::ZERO,
            tracking: false,
        }
    }

    /// log2 of the smallest page: everything is a multiple of that, and tracked in such pages.
    pub(crate) fn shift(&self) -> u32 {
        granule_shift(self.page_sizes)
    }

    /// log2 of the size of tracked pages, if there are any.
    pub(crate) fn track(&self) -> Option<u32> {
        self.tracking.then(|| self.shift())
    }

    /// To be called when a domain was added or removed.
    pub(crate) fn update_page_sizes(&mut self) {
        self.page_sizes = visible_page_sizes(self.space.page_sizes());
    }

    /// Whether there are mediated devices: their drivers may ask for memory at any time, which must
    /// have a process address then.
    pub(crate) fn has_mediated(&self) -> bool {
        let auxiliary = |member: &Member| member.endpoint().is_auxiliary();
        !self.emulated.is_empty() || self.space.members().any(auxiliary)
    }

    /// Whether `group` is in the container.
    pub(crate) fn has_group(&self, group: &Group) -> bool {
        let mut members = self.space.members();
        self.emulated.contains(group) || members.any(|member| member.group() == group)
    }
}
