// SPDX-License-Identifier: GPL-2.0

//! Groups that join a container.
//!
//! A group behind an IOMMU gets a domain, its own or one of the container that suits it. So does a
//! group of mediated devices of the type "attach-parent", whose DMA carries a PASID: its domain is
//! attached to the parent device in auxiliary mode. Groups of other mediated devices get none;
//! their drivers pin the pages that they use.

use crate::container::Type1;
use crate::error::Failure;
use crate::group::classify::Emulated;
use crate::state::State;
use crate::sys::domain::Domain;
use crate::sys::endpoint::{NewEndpoint, NewGroup};
use crate::sys::ioas::FillOptions;
use crate::sys::ops::GroupKind;
use crate::sys::params;
use kernel::prelude::*;
use siov_type1::window;

impl Type1 {
    /// Attaches `group`.
    ///
    /// # Errors
    ///
    /// `EBUSY` while process addresses are invalid or the group is used otherwise, `EINVAL` for a
    /// group that is here already, that mixes mediated devices of several kinds or parents, or
    /// whose aperture or reserved ranges conflict with what is mapped, `EPERM` without isolated
    /// interrupts, `ENOMEM`, and those of the IOMMU driver.
    pub(crate) fn attach(&self, new: NewGroup<'_>, kind: GroupKind) -> Result {
        let group = new.get();
        let mut state = self.state.lock();
        if !state.invalid_vaddrs.is_zero() {
            return Err(EBUSY);
        }
        if state.has_group(&group) {
            return Err(EINVAL);
        }
        let endpoint = match kind {
            GroupKind::Emulated => match Emulated::of(new)? {
                Emulated::NoIommu => {
                    state.emulated.push(group, GFP_KERNEL)?;
                    return Ok(());
                }
                Emulated::AttachParent(endpoint) => endpoint,
                Emulated::Mixed(device) => {
                    if self.complaints.allows() {
                        pr_err!(
                            "group {}: {} and others of the group differ in domain type or \
                             parent\n",
                            group.id(),
                            device.name()
                        );
                    }
                    return Err(EINVAL);
                }
                Emulated::NoAuxiliaryDomains(device) => {
                    if self.complaints.allows() {
                        pr_err!(
                            "group {}: domains of {} need iommu_aux.ko, which is not loaded\n",
                            group.id(),
                            device.name()
                        );
                    }
                    return Err(ENODEV);
                }
            },
            _ => NewEndpoint::new(new)?,
        };
        let result = attach_endpoint(&mut state, &endpoint);
        drop(state);
        result.map_err(|failure| self.explain(failure))
    }
}

fn attach_endpoint(state: &mut State, endpoint: &NewEndpoint<'_>) -> Result<(), Failure> {
    let mut domain = Domain::new(endpoint)?;
    // A PASID is for a domain that is known as good as for a new one, and may be the last.
    if !endpoint.is_auxiliary() {
        domain.attach(endpoint)?;
    }

    let mapped = |range| state.space.overlapping(range).is_some();
    if window::conflicts(state.windows.as_slice(), domain.aperture(), mapped) {
        return Err(EINVAL.into());
    }
    let reserved = endpoint.reserved()?;
    if reserved.ranges().iter().copied().any(mapped) {
        return Err(EINVAL.into());
    }
    let windows = state
        .windows
        .narrowed(domain.aperture())?
        .without(reserved.ranges())?;

    if !params::allow_unsafe_interrupts() && !endpoint.has_isolated_interrupts() {
        return Err(Failure::UnsafeInterrupts(endpoint.group().id()));
    }

    // Without traffic that bypasses caches KVM need not emulate instructions that write them back.
    domain.enforce_coherency(endpoint);

    if let Some(mut domain) = share(state, domain, endpoint)? {
        let options = FillOptions {
            one_by_one: params::disable_hugepages(),
            emulated: &state.emulated,
        };
        domain.set_msi_window(&reserved)?;
        state.space.add_domain(domain, options)?;
        state.update_page_sizes();
    }
    state.windows = windows;
    // Until its driver pins pages, and thereby reports what it writes to.
    state.non_pinning_groups.inc();
    Ok(())
}

/// Attaches the group of `endpoint` to a domain of the container that suits it, which leaves none
/// to add; else to `domain`, which was made for it.
///
/// # Errors
///
/// Those of attaching it to `domain`.
fn share(
    state: &mut State,
    mut domain: Domain,
    endpoint: &NewEndpoint<'_>,
) -> Result<Option<Domain>> {
    for index in 0..state.space.domains().len() {
        let known = state.space.domains().get(index);
        if !known.is_some_and(|known| known.is_like(&domain)) {
            continue;
        }
        domain.detach_all();
        if state.space.attach(index, endpoint).is_ok() {
            return Ok(None);
        }
    }
    if domain.members().is_empty() {
        domain.attach(endpoint)?;
    }
    Ok(Some(domain))
}
