// SPDX-License-Identifier: GPL-2.0

//! Device-TLB invalidations that were lost: what these TLBs hold is not known any more.

use core::num::NonZeroU64;

use siov_types::Bdf;

use crate::invalidate::Descriptor;

/// How many TLBs, by function and PASID, are remembered.
const TLBS: usize = 64;

/// How many are invalidated at a time.
pub(super) const BATCH: usize = 8;

/// A TLB of a function, for requests with one PASID or without: the low word of the descriptor that
/// invalidates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StaleTlb {
    low: NonZeroU64,
    /// Numbers of the first and the last loss.
    first: u32,
    last: u32,
}

impl StaleTlb {
    /// The function.
    pub(super) fn source(self) -> Option<Bdf> {
        Descriptor::device_of(self.low.get())
    }

    /// What invalidates all of it.
    pub(super) fn invalidation(self) -> Descriptor {
        Descriptor::device_tlb_all(self.low.get())
    }
}

/// Whether loss number `a` comes after `b`. They are less than half the circle apart.
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

/// TLBs that are to be invalidated as a whole. Each stays here until that is done.
pub(super) struct Lost {
    tlbs: [Option<StaleTlb>; TLBS],
    /// Number of losses so far.
    losses: u32,
}

impl Default for Lost {
    fn default() -> Self {
        Self {
            tlbs: [None; TLBS],
            losses: 0,
        }
    }
}

/// Some of them.
pub(super) type Batch = [Option<StaleTlb>; BATCH];

/// There is no room for another one.
pub(super) struct Full;

impl Lost {
    /// Number of losses so far.
    pub(super) fn losses(&self) -> u32 {
        self.losses
    }

    /// Adds the TLB that a descriptor with this low word invalidates. Fails when there is no room.
    pub(super) fn insert(&mut self, low: u64) -> Result<(), Full> {
        // A type of 0 is none, so there is nothing that 0 would invalidate.
        let Some(low) = NonZeroU64::new(low) else {
            return Ok(());
        };
        let is_it = |place: &&mut Option<StaleTlb>| place.is_some_and(|tlb| tlb.low == low);
        let place = match self.tlbs.iter_mut().find(is_it) {
            Some(place) => place,
            None => self
                .tlbs
                .iter_mut()
                .find(|place| place.is_none())
                .ok_or(Full)?,
        };
        self.losses = self.losses.wrapping_add(1);
        *place = Some(StaleTlb {
            low,
            first: place.map_or(self.losses, |tlb| tlb.first),
            last: self.losses,
        });
        Ok(())
    }

    /// The first ones of those that were lost up to loss number `last`.
    pub(super) fn batch(&self, last: u32) -> Batch {
        let mut batch = [None; BATCH];
        for (place, tlb) in batch.iter_mut().zip(self.up_to(last)) {
            *place = Some(tlb);
        }
        batch
    }

    /// Whether none are left of those that were lost up to loss number `last`.
    pub(super) fn is_empty(&self, last: u32) -> bool {
        self.up_to(last).next().is_none()
    }

    fn up_to(&self, last: u32) -> impl Iterator<Item = StaleTlb> + '_ {
        let tlbs = self.tlbs.iter().copied().flatten();
        tlbs.filter(move |tlb| !is_after(tlb.first, last))
    }

    /// Those of `batch` have been invalidated. They stay if they were lost again meanwhile.
    pub(super) fn remove(&mut self, batch: &Batch) {
        for place in &mut self.tlbs {
            let Some(tlb) = place else { continue };
            let same = |done: &&StaleTlb| done.low == tlb.low;
            let Some(done) = batch.iter().flatten().find(same) else {
                continue;
            };
            if is_after(tlb.last, done.last) {
                // Not before what somebody else has removed meanwhile.
                let first = done.last.wrapping_add(1);
                if is_after(first, tlb.first) {
                    tlb.first = first;
                }
            } else {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalidate::{DeviceTlb, Pages, Scope};
    use siov_types::{Iova, Pasid};

    fn device(bus: u8) -> DeviceTlb {
        DeviceTlb {
            source: Bdf::new(bus, 8),
            physical_function: Bdf::new(bus, 0),
            queue_depth: 4,
        }
    }

    fn low(descriptor: Descriptor) -> u64 {
        let [low, ..] = descriptor.raw();
        low
    }

    #[test]
    fn each_tlb_once_and_whole() {
        let page = Scope::Pages(Pages {
            addr: Iova::new(0x1234_5000),
            mask: 0,
        });
        let pasid = Pasid::new(77).unwrap();
        let mut lost = Lost::default();
        assert!(lost.is_empty(lost.losses()));
        for scope in [page, Scope::Domain] {
            let without_pasid = Descriptor::device_tlb(device(1), scope);
            assert!(lost.insert(low(without_pasid)).is_ok());
            let with_pasid = Descriptor::pasid_device_tlb(device(1), pasid, scope);
            assert!(lost.insert(low(with_pasid)).is_ok());
        }
        let [first, second, rest @ ..] = lost.batch(lost.losses());
        assert_eq!(rest, [None; BATCH - 2]);
        assert_eq!(
            first.map(StaleTlb::invalidation),
            Some(Descriptor::device_tlb(device(1), Scope::Domain))
        );
        assert_eq!(
            second.map(StaleTlb::invalidation),
            Some(Descriptor::pasid_device_tlb(
                device(1),
                pasid,
                Scope::Domain
            ))
        );
        assert_eq!(first.and_then(StaleTlb::source), Some(Bdf::new(1, 8)));
        assert_eq!(second.and_then(StaleTlb::source), Some(Bdf::new(1, 8)));
    }

    fn insert(lost: &mut Lost, bus: u8) -> Result<(), Full> {
        lost.insert(low(Descriptor::device_tlb(device(bus), Scope::Domain)))
    }

    #[test]
    fn what_is_lost_again_stays() {
        let mut lost = Lost {
            losses: u32::MAX - 1,
            ..Lost::default()
        };
        for bus in [1, 2] {
            assert!(insert(&mut lost, bus).is_ok());
        }
        let before = lost.losses();
        let batch = lost.batch(before);
        assert!(insert(&mut lost, 2).is_ok() && insert(&mut lost, 3).is_ok());
        lost.remove(&batch);
        assert!(lost.is_empty(before) && !lost.is_empty(lost.losses()));
        let left = lost.batch(lost.losses());
        let sources = left.iter().flatten().filter_map(|tlb| tlb.source());
        assert!(sources.eq([Bdf::new(2, 8), Bdf::new(3, 8)]));
        lost.remove(&left);
        assert!(lost.is_empty(lost.losses()));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut lost = Lost::default();
        assert!((0..TLBS as u8).all(|bus| insert(&mut lost, bus).is_ok()));
        assert!(insert(&mut lost, 200).is_err() && insert(&mut lost, 3).is_ok());
        let batch = lost.batch(lost.losses());
        assert!(batch.iter().all(Option::is_some));
        lost.remove(&batch);
        assert!(insert(&mut lost, 200).is_ok());
    }
}
