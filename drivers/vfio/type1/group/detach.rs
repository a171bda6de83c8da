// SPDX-License-Identifier: GPL-2.0

//! Groups that leave a container, in any order.

use crate::container::Type1;
use crate::group::Group;
use crate::state::State;
use crate::windows::Windows;
use kernel::prelude::*;
use siov_type1::window;
use siov_types::IovaRange;

impl Type1 {
    /// Detaches `group`. With the last group all mappings go.
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
        let found = state
            .space
            .domains_mut()
            .iter_mut()
            .enumerate()
            .find_map(|(index, domain)| Some((index, domain.detach(group)?)));
        let Some((index, pins_what_it_dirties)) = found else {
            return;
        };
        let mut gone = false;
        if state
            .space
            .domains()
            .get(index)
            .is_some_and(|d| d.members().is_empty())
        {
            if state.space.domains().len() == 1 && state.emulated.is_empty() {
                state.remove_all();
            }
            state.space.remove_domain(index);
            state.update_page_sizes();
            gone = true;
        }
        if let Ok(windows) = refreshed(&state, gone) {
            state.windows = windows;
        }
        if !pins_what_it_dirties {
            state.silent_writers = state.silent_writers.wrapping_sub(1);
            // What it has written to is still dirty.
            if let Some(shift) = state.track() {
                state.space.mark_all(shift);
            }
        }
    }
}

impl State {
    /// Removes all mappings: nobody is left who could use them.
    fn remove_all(&mut self) {
        kernel::warn_on!(self.devices != 0);
        let count = self.space.remove_all();
        self.dma_avail = self
            .dma_avail
            .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.stale = 0;
    }
}

/// What may be mapped now that a group has left, and perhaps a domain with it.
///
/// # Errors
///
/// `EINVAL` when nothing may, `ENOMEM`: the list stays as it is then, which permits less.
fn refreshed(state: &State, domain_gone: bool) -> Result<Windows> {
    let aperture: Option<IovaRange> = domain_gone.then(|| state.space.aperture());
    let hull = window::hull(state.windows.as_slice(), aperture).ok_or(EINVAL)?;
    let mut windows = Windows::default().narrowed(hull)?;
    for domain in state.space.domains() {
        for member in domain.members() {
            windows = windows.without(member.reserved()?.ranges())?;
        }
    }
    Ok(windows)
}
