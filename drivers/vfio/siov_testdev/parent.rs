// SPDX-License-Identifier: GPL-2.0

//! A device that offers its ADIs: what the mediated devices share.

use crate::hardware::Hardware;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::pci::driver::Vectors;
use linux::ratelimit::RateLimit;

pub(crate) struct Parent {
    pub(crate) hardware: Arc<Hardware>,
    pub(crate) vectors: Arc<Vectors>,
    /// The device that sends the requests of the ADIs.
    pub(crate) dev: ARef<Device>,
    /// Whether there are auxiliary domains.
    pub(crate) isolated: bool,
    /// Limits messages about ADIs that cannot be opened.
    pub(crate) refusals: Pin<KBox<RateLimit>>,
}
