// SPDX-License-Identifier: GPL-2.0

//! why: The chain of notifiers holds the address of a subscription.
//! against: linux
//! error: E0277 cannot be unpinned

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::iommu::{FaultListener, Subscription};

/// Takes it out.
pub fn take<T: FaultListener>(subscription: Pin<KBox<Subscription<T>>>) {
    // misuse {
    let subscription = Pin::into_inner(subscription);
    // }
    drop(subscription);
}
