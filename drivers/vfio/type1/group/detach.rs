// SPDX-License-Identifier: GPL-2.0

//! Groups that leave a container, in any order.

use crate::container::Type1;
use crate::group::Group;
use crate::state::State;
use crate::windows::Windows;
use kernel::prelude::*;
use linux::count::Count;
use siov_type1::window;
use siov_types::IovaRange;

impl Type1 {
    /// Detaches `group`. With the last group all mappings are removed.
    pub(crate) fn detach(&self, group: &Group) {
        let mut state = self.state.lock();
        let before = state.emulated.len();
        state.emulated.retain(|known| known != group);
        if state.emulated.len() != before {
            if state.emulated.is_empty() && state.space.domains().is_empty() {
                state.remove_all();
            }
            return;
        }
        let Some(detached) = state.space.detach(group) else {
            return;
        };
        if detached.was_last {
            if state.space.domains().len() == 1 && state.emulated.is_empty() {
                state.remove_all();
            }
            state.space.remove_domain(detached.domain);
            state.update_page_sizes();
        }
        if let Ok(windows) = refreshed(&state, detached.was_last) {
            state.windows = windows;
        }
        if !detached.was_pinning {
            state.non_pinning_groups.dec();
            // What it has written to is still dirty.
            if let Some(shift) = state.track() {
                state.space.mark_all(shift);
            }
        }
    }
}

impl State {
    /// Removes all mappings: no group is left that could use them.
    fn remove_all(&mut self) {
        kernel::warn_on!(!self.devices.is_zero());
        self.dma_avail.add(self.space.remove_all());
        self.invalid_vaddrs = Count::ZERO;
    }
}

/// What may be mapped now that a group has left, and perhaps a domain with it.
///
/// # Errors
///
/// `EINVAL` when nothing may, `ENOMEM`, `ENODEV`: the list stays as it is then, which permits less.
fn refreshed(state: &State, domain_gone: bool) -> Result<Windows> {
    let aperture: Option<IovaRange> = domain_gone.then(|| state.space.aperture());
    let hull = window::hull(state.windows.as_slice(), aperture).ok_or(EINVAL)?;
    let mut windows = Windows::default().narrowed(hull)?;
    for member in state.space.members() {
        windows = windows.without(member.endpoint().reserved()?.ranges())?;
    }
    Ok(windows)
}
