// SPDX-License-Identifier: GPL-2.0

//! The functions that send requests through a unit.
//!
//! Lock order: [`DeviceList::list`] is a spinlock that is taken in interrupt context; of the
//! driver's locks, only those of the root table and of the queue are taken inside of it.

use kernel::prelude::*;
use kernel::sync::Arc;
use linux::new_raw_spinlock;
use linux::sync::RawSpinLock;
use siov_types::Bdf;

/// What sends requests.
pub(crate) trait Requester {
    /// Every requester id of its DMA, its own first.
    fn requester_ids(&self) -> &[Bdf];
}

/// The devices of one unit.
#[pin_data]
pub(crate) struct DeviceList<D> {
    #[pin]
    list: RawSpinLock<List<D>>,
}

struct List<D> {
    /// In the order in which they were added, so by rising number.
    entries: KVec<Entry<D>>,
    /// The number of the next device.
    next: u64,
}

struct Entry<D> {
    /// Each device has another one: a walk goes on from it, whichever devices come and go
    /// meanwhile.
    number: u64,
    device: Arc<D>,
}

impl<D: Requester> DeviceList<D> {
    /// An empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_raw_spinlock!(
                List {
                    entries: KVec::new(),
                    next: 0,
                },
                "vtd devices"
            ),
        })
    }

    /// Adds a device. Calls are serialised by the probing of devices.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(&self, device: &Arc<D>) -> Result {
        linux::vec::reserve(&self.list, |list| &mut list.entries)?;
        let mut list = self.list.lock();
        let number = list.next;
        list.next += 1;
        let device = device.clone();
        list.entries
            .push_within_capacity(Entry { number, device })
            .map_err(|_| ENOMEM)?;
        Ok(())
    }

    /// Removes a device. The list's reference is the caller's to drop, when it is not in use by
    /// [`Self::find`] in interrupt context any more.
    pub(crate) fn remove(&self, device: &Arc<D>) -> Option<Arc<D>> {
        let mut list = self.list.lock();
        let is_it = |entry: &Entry<D>| Arc::ptr_eq(&entry.device, device);
        let at = list.entries.iter().position(is_it)?;
        list.entries.remove(at).ok().map(|entry| entry.device)
    }

    /// The device with this requester id; one that merely shares it, as those below a conventional
    /// bridge do, only when no device has it for its own.
    ///
    /// Dropping the last reference to a device may sleep: whoever calls this in interrupt context
    /// sees to it that the one who removes the device waits.
    pub(crate) fn find(&self, bdf: Bdf) -> Option<Arc<D>> {
        let list = self.list.lock();
        let devices = || list.entries.iter().map(|entry| &entry.device);
        let owner = devices().find(|d| d.requester_ids().first() == Some(&bdf));
        owner
            .or_else(|| devices().find(|d| d.requester_ids().contains(&bdf)))
            .cloned()
    }

    /// Calls `f` for each device that is in the list all the time. `f` may sleep.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Arc<D>)) {
        let mut from = 0;
        while let Some((number, device)) = self.first_from(from) {
            f(&device);
            from = number + 1;
        }
    }

    /// The first device with at least this number.
    fn first_from(&self, number: u64) -> Option<(u64, Arc<D>)> {
        let list = self.list.lock();
        let at = list.entries.partition_point(|entry| entry.number < number);
        let entry = list.entries.get(at)?;
        Some((entry.number, entry.device.clone()))
    }

    /// Calls `f` with the list locked and interrupts off, in any context. What
    /// [`Self::for_each_locked`] calls runs before it or after it.
    pub(crate) fn locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let _list = self.list.lock();
        f()
    }

    /// Calls `f` for each device with the list locked and interrupts off, in any context.
    pub(crate) fn for_each_locked(&self, mut f: impl FnMut(&D)) {
        for entry in &self.list.lock().entries {
            f(&entry.device);
        }
    }
}
