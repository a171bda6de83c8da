// SPDX-License-Identifier: GPL-2.0

//! The list of addresses that may be mapped, on the heap.

use kernel::prelude::*;
use siov_type1::window::{self, Sink};
use siov_types::IovaRange;

/// Windows in order; none means that nothing is forbidden.
#[derive(Default)]
pub(crate) struct Windows(KVec<IovaRange>);

impl Sink for Windows {
    type Error = Error;

    fn push(&mut self, window: IovaRange) -> Result {
        Ok(self.0.push(window, GFP_KERNEL)?)
    }
}

impl Windows {
    pub(crate) fn as_slice(&self) -> &[IovaRange] {
        &self.0
    }

    /// These windows within `aperture`.
    pub(crate) fn narrowed(&self, aperture: IovaRange) -> Result<Self> {
        let mut out = Self::default();
        window::narrow(&self.0, aperture, &mut out)?;
        Ok(out)
    }

    /// These windows without `reserved`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when nothing is left, `ENOMEM`.
    pub(crate) fn without(mut self, reserved: &[IovaRange]) -> Result<Self> {
        for range in reserved {
            let mut out = Self::default();
            window::exclude(&self.0, *range, &mut out)?;
            self = out;
        }
        if self.0.is_empty() {
            return Err(EINVAL);
        }
        Ok(self)
    }
}
