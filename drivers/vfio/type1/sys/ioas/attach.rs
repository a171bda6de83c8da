// SPDX-License-Identifier: GPL-2.0

//! Domains that join an address space and leave it, and their groups.

use super::{FillOptions, Ioas, Memory};
use crate::error::Failure;
use crate::group::Group;
use crate::sys::domain::Domain;
use crate::sys::endpoint::NewEndpoint;
use kernel::prelude::*;

/// A group that was detached.
pub(crate) struct Detached {
    /// Index of the domain that it was attached to.
    pub(crate) domain: usize,
    /// The domain has no groups any more.
    pub(crate) was_last: bool,
    /// The group's driver pinned what its devices wrote to.
    pub(crate) was_pinning: bool,
}

impl<M> Ioas<M> {
    /// Attaches a group to the domain at `index`.
    ///
    /// # Errors
    ///
    /// `EINVAL` without such a domain, and those of [`Domain::attach`].
    pub(crate) fn attach(&mut self, index: usize, endpoint: &NewEndpoint<'_>) -> Result {
        self.domains.get_mut(index).ok_or(EINVAL)?.attach(endpoint)
    }

    /// Detaches a group from the domain that it is attached to. The domain stays.
    pub(crate) fn detach(&mut self, group: &Group) -> Option<Detached> {
        let mut domains = self.domains.iter_mut().enumerate();
        domains.find_map(|(index, domain)| {
            Some(Detached {
                was_pinning: domain.detach(group)?,
                was_last: domain.members().is_empty(),
                domain: index,
            })
        })
    }

    /// Notes that the driver of `group` pins what its devices write to. Whether that is news.
    pub(crate) fn set_pinning(&mut self, group: &Group) -> bool {
        self.domains.iter_mut().any(|d| d.set_pinning(group))
    }

    /// Removes the domain at `index`, detaching its groups. With the last one all areas are
    /// unmapped and unpinned, and what was charged for them is the caller's to settle.
    pub(crate) fn remove_domain(&mut self, index: usize) {
        if self.domains.len() == 1 {
            // No other domain would know what is pinned.
            self.remove_domains();
        } else if let Ok(domain) = self.domains.remove(index) {
            self.revocables.leave(&domain);
        }
    }
}

impl<M: Memory> Ioas<M> {
    /// Adds a domain, which gets all areas. If it is the first one, they are pinned.
    ///
    /// # Errors
    ///
    /// Those of [`fill`](super::fill), `EINVAL` where an area is in the domain's window for
    /// interrupt messages. Nothing is added then, and what was charged is the caller's to settle.
    pub(crate) fn add_domain(
        &mut self,
        domain: Domain,
        options: FillOptions<'_>,
    ) -> Result<(), Failure> {
        let in_window = |window| self.overlapping(window).is_some();
        if domain.msi_window().is_some_and(in_window) {
            return Err(EINVAL.into());
        }
        self.domains.reserve(1, GFP_KERNEL)?;
        let mut result = Ok(());
        let mut added = 0usize;
        for (key, area) in self.areas.iter_mut() {
            result = match self.domains.first() {
                Some(known) => {
                    // SAFETY: An area, which the new domain has nothing of. It joins the others, or
                    // is dropped.
                    let copied = unsafe { area.copy(known, &domain, *key, &self.revocables) };
                    copied.map_err(Failure::from)
                }
                // SAFETY: An area that no domain translates, as there is none. The new one is the
                // first, or the area is drained below.
                None => unsafe {
                    let new = core::slice::from_ref(&domain);
                    area.fill(new, *key, options, &mut self.revocables)
                },
            };
            if result.is_err() {
                break;
            }
            added += 1;
        }
        if result.is_ok() {
            // There is room. If there were not, the domain would be dropped, and nothing unpinned.
            return Ok(self.domains.push(domain, GFP_KERNEL)?);
        }
        let new = core::slice::from_ref(&domain);
        for (key, area) in self.areas.iter_mut().take(added) {
            if self.domains.is_empty() {
                let revocable = self.revocables.remove(key, area.frames);
                area.frames.is_revocable = false;
                // SAFETY: An area that was filled above, in this domain only.
                unsafe { area.drain(new, key.range(), revocable) };
            } else {
                // SAFETY: An area that was copied above, of a domain that nothing else uses.
                unsafe { area.uncopy(&domain, *key, key.range(), &self.revocables) };
            }
        }
        self.revocables.leave(&domain);
        result
    }
}
