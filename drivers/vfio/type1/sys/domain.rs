// SPDX-License-Identifier: GPL-2.0

//! IOMMU domains with the groups attached to them.

use super::endpoint::{Attachment, Endpoint, NewEndpoint};
use super::iommu::IommuDomain;
use super::reserved::Reserved;
use crate::group::Group;
use kernel::prelude::*;
use kernel::sync::Arc;
use siov_types::IovaRange;

/// A group in a domain.
pub(crate) struct Member {
    attachment: Attachment,
    pins_what_it_dirties: bool,
}

impl Member {
    /// Where its DMA enters the domain.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.attachment.endpoint()
    }

    /// The group.
    pub(crate) fn group(&self) -> &Group {
        self.endpoint().group()
    }

    /// Whether its driver might turn out to pin what its devices write to.
    fn may_only_pin(&self) -> bool {
        !self.pins_what_it_dirties && !self.endpoint().is_auxiliary()
    }
}

/// A domain and its groups. Dropped, it detaches them, which frees it.
///
/// One that is not in an [`Ioas`](super::ioas::Ioas) translates nothing. One that is belongs to it:
/// it is seen by reference, and changed by methods of the `Ioas`.
pub(crate) struct Domain {
    members: KVec<Member>,
    iommu: Arc<IommuDomain>,
    coherent: bool,
    msi_window: Option<IovaRange>,
}

impl Domain {
    /// A new domain for the group of `endpoint`, which is not attached yet.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver, `ENOMEM`.
    pub(crate) fn new(endpoint: &NewEndpoint<'_>) -> Result<Self> {
        Ok(Self {
            members: KVec::new(),
            iommu: Arc::new(endpoint.new_domain()?, GFP_KERNEL)?,
            coherent: false,
            msi_window: None,
        })
    }

    /// Attaches a further group.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver, `EBUSY` when the group has another owner, `ENOMEM`.
    pub(crate) fn attach(&mut self, endpoint: &NewEndpoint<'_>) -> Result {
        self.members.reserve(1, GFP_KERNEL)?;
        let member = Member {
            attachment: Attachment::new(endpoint, self.iommu.clone())?,
            pins_what_it_dirties: false,
        };
        // There is room, and if there were not, the group would be detached again.
        Ok(self.members.push(member, GFP_KERNEL)?)
    }

    /// Detaches a group; whether it pinned what it dirtied. `None` when it is not a member.
    pub(super) fn detach(&mut self, group: &Group) -> Option<bool> {
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

    /// Notes that the driver of `group` pins what its devices write to, so that other pages are
    /// clean. Whether that is news. It is not true of devices that attach to their parent: whatever
    /// their driver pins, they write to all that the domain translates.
    pub(super) fn set_pinning(&mut self, group: &Group) -> bool {
        let mut members = self.members.iter_mut();
        let member = members.find(|m| m.group() == group && m.may_only_pin());
        member.map(|m| m.pins_what_it_dirties = true).is_some()
    }

    /// What can be mapped.
    pub(crate) fn aperture(&self) -> IovaRange {
        self.iommu.aperture()
    }

    /// Page sizes, a bit each.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.iommu.page_sizes()
    }

    /// Makes all DMA of a new domain for `endpoint` snoop the caches, where the IOMMU can enforce
    /// that.
    pub(crate) fn enforce_coherency(&mut self, endpoint: &Endpoint) {
        self.coherent = endpoint.can_enforce_coherency() && self.iommu.enforce_coherency();
    }

    /// Whether all DMA snoops the caches.
    pub(crate) fn is_coherent(&self) -> bool {
        self.coherent
    }

    /// Whether the groups of `other` could be attached here as well.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.iommu.is_like(&other.iommu) && self.coherent == other.coherent
    }

    /// Sets up the window for interrupt messages where `reserved` has one that software chooses.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU core, `EEXIST` for a second window; none where the kernel has no such
    /// windows.
    pub(crate) fn set_msi_window(&mut self, reserved: &Reserved) -> Result {
        let Some(window) = reserved.msi_window() else {
            return Ok(());
        };
        if self.msi_window.is_some() {
            return Err(EEXIST);
        }
        // None of it will be part of an area, whatever comes of this.
        self.msi_window = Some(window);
        // SAFETY: It maps nothing yet or, in an `Ioas`, areas only, which do not overlap the
        // window.
        match unsafe { self.iommu.set_msi_window(window.first()) } {
            Err(e) if e == ENODEV => Ok(()),
            other => other,
        }
    }

    /// Addresses that the IOMMU core translates for interrupt messages.
    #[inline]
    pub(super) fn msi_window(&self) -> Option<IovaRange> {
        self.msi_window
    }

    #[inline(always)]
    pub(super) fn iommu(&self) -> &IommuDomain {
        &self.iommu
    }

    /// The domain, for who unmaps there by itself.
    pub(super) fn shared(&self) -> Arc<IommuDomain> {
        self.iommu.clone()
    }
}
