// SPDX-License-Identifier: GPL-2.0

//! IOMMU domains with the groups attached to them.

use crate::group::endpoint::{Attachment, Endpoint};
use crate::group::Group;
use crate::sys::reserved::Reserved;
use crate::sys::table::Table;
use kernel::prelude::*;
use kernel::sync::Arc;
use siov_types::IovaRange;

/// A group in a domain.
pub(crate) struct Member {
    attachment: Attachment,
    /// The group's driver tells what it writes to by pinning it, so that other pages are clean.
    pub(crate) pins_what_it_dirties: bool,
}

impl Member {
    /// The group.
    pub(crate) fn group(&self) -> &Group {
        self.attachment.endpoint().group()
    }

    /// Whether requests carry a PASID of the parent.
    pub(crate) fn is_auxiliary(&self) -> bool {
        self.attachment.endpoint().is_auxiliary()
    }

    /// What its devices cannot use.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV`.
    pub(crate) fn reserved(&self) -> Result<Reserved> {
        self.attachment.endpoint().reserved()
    }
}

/// A domain and its groups. Dropped, it detaches them, which frees it.
pub(crate) struct Domain {
    members: KVec<Member>,
    table: Arc<Table>,
    coherent: bool,
}

impl Domain {
    /// A new domain with the group of `endpoint` attached.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver and of attaching.
    pub(crate) fn new(endpoint: &Arc<Endpoint>) -> Result<Self> {
        let mut domain = Self {
            members: KVec::new(),
            table: Arc::new(endpoint.new_table()?, GFP_KERNEL)?,
            coherent: false,
        };
        domain.attach(endpoint)?;
        Ok(domain)
    }

    /// Attaches a further group.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(crate) fn attach(&mut self, endpoint: &Arc<Endpoint>) -> Result {
        self.members.reserve(1, GFP_KERNEL)?;
        let attachment = Attachment::new(endpoint.clone(), self.table.clone())?;
        // There is room, and if there were not, the group would be detached again.
        self.members
            .push(
                Member {
                    attachment,
                    pins_what_it_dirties: false,
                },
                GFP_KERNEL,
            )
            .map_err(Error::from)
    }

    /// Detaches a group; whether it pinned what it dirtied. `None` when it is not a member.
    pub(crate) fn detach(&mut self, group: &Group) -> Option<bool> {
        let index = self.members.iter().position(|m| m.group() == group)?;
        let member = self.members.remove(index).ok()?;
        Some(member.pins_what_it_dirties)
    }

    /// Detaches all groups.
    pub(crate) fn detach_all(&mut self) {
        self.members.clear();
    }

    /// The groups.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The groups, to change what is known of them.
    pub(crate) fn members_mut(&mut self) -> &mut [Member] {
        &mut self.members
    }

    /// What can be mapped.
    pub(crate) fn aperture(&self) -> IovaRange {
        self.table.aperture()
    }

    /// Page sizes, a bit each.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.table.page_sizes()
    }

    /// Has all DMA snoop the caches where the IOMMU can enforce that.
    pub(crate) fn enforce_coherency(&mut self) {
        let can = |member: &Member| member.attachment.endpoint().can_enforce_coherency();
        self.coherent = self.members.iter().all(can) && self.table.enforce_coherency();
    }

    /// Whether all DMA snoops the caches.
    pub(crate) fn is_coherent(&self) -> bool {
        self.coherent
    }

    /// Whether the groups of `other` could be attached here as well.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.table.is_like(&other.table) && self.coherent == other.coherent
    }

    /// Sets up the window for interrupt messages where that is software's business.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU core; not where the kernel has no such windows.
    pub(crate) fn set_msi_window(&self, reserved: &Reserved) -> Result {
        match reserved.msi_window() {
            None => Ok(()),
            Some(base) => match self.table.set_msi_window(base) {
                Err(e) if e == ENODEV => Ok(()),
                other => other,
            },
        }
    }

    #[inline(always)]
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}
