// SPDX-License-Identifier: GPL-2.0

//! The data of zones and of VMs: what coalesced I/O has done for them.
//!
//! Locks: the counters are stored under `kvm->ring_lock`, those of removed zones under
//! `kvm->slots_lock` or when the VM has no users left. They are read without a lock.

use siov_ring::{Count, Peak, Zone};
use static_assertions::assert_impl_all;

/// The results of the writes to a zone.
#[derive(Default)]
pub(crate) struct Counts {
    /// In the ring.
    pub(crate) coalesced: Count,
    /// Left to user space, because the ring was full.
    pub(crate) full: Count,
    /// Left to user space, because it had stored an index that is not in the ring.
    pub(crate) bad_index: Count,
}

impl Counts {
    fn add(&self, other: &Self) {
        self.coalesced.add(other.coalesced.get());
        self.full.add(other.full.get());
        self.bad_index.add(other.bad_index.get());
    }
}

/// Data of a zone.
pub(crate) struct CountedZone {
    /// The range.
    pub(crate) zone: Zone,
    /// Its writes.
    pub(crate) counts: Counts,
}

/// Data of a VM.
#[derive(Default)]
pub(crate) struct VmCounts {
    /// The most writes that were in the ring at a time.
    pub(crate) peak: Peak,
    /// Sums of the zones that are no longer registered.
    pub(crate) gone: Counts,
}

impl VmCounts {
    /// `zone` is off its bus, so its counters no longer change.
    pub(crate) fn zone_removed(&self, zone: &CountedZone) {
        self.gone.add(&zone.counts);
    }
}

// vCPUs and readers share both, and any task may free them.
assert_impl_all!(CountedZone: Send, Sync);
assert_impl_all!(VmCounts: Send, Sync);
