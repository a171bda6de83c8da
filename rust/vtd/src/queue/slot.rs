// SPDX-License-Identifier: GPL-2.0

//! Slots of the invalidation queue: a ring of 256-bit descriptors between a head that hardware
//! moves and a tail that software moves (VT-d spec, 6.5.2 and 11.4.9).

use siov_types::{PhysAddr, PAGE_SHIFT};

use crate::bits::{Field, PAGE_ADDRESS};
use crate::invalidate::Descriptor;

/// log2 of a descriptor's size in bytes, which is where the slot number starts in IQH and IQT.
const SLOT_SHIFT: u32 = size_of::<Descriptor>().trailing_zeros();

/// A slot number in a queue of some [`QueueSize`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct Slot(u16);

impl Slot {
    /// Where an empty queue starts.
    pub const FIRST: Self = Self(0);

    /// Index of the slot in an array of descriptors.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// What IQH or IQT reads as at this slot: its offset in bytes.
    #[inline]
    pub const fn register(self) -> u64 {
        (self.0 as u64) << SLOT_SHIFT
    }
}

/// Size of the queue: QS in the queue address register. There are 2^(QS+7) descriptors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QueueSize {
    /// The largest slot number, all ones: what each step around the ring needs.
    last: u16,
}

/// log2 of the descriptors in one page.
const SLOTS_PER_PAGE_SHIFT: u32 = PAGE_SHIFT - SLOT_SHIFT;

impl QueueSize {
    /// 128 descriptors in one page.
    pub const MIN: Self = Self {
        last: (1 << SLOTS_PER_PAGE_SHIFT) - 1,
    };
    /// 16384 descriptors in 128 pages.
    pub const MAX: Self = Self {
        last: (1 << (SLOTS_PER_PAGE_SHIFT + 7)) - 1,
    };

    const DW: Field = Field::bit(11);
    const QS: Field = Field::new(2, 0);

    /// 2^`order` pages of descriptors; `None` for more than the 7 that QS can say.
    pub const fn from_order(order: u8) -> Option<Self> {
        if order <= 7 {
            Some(Self {
                last: (1 << (SLOTS_PER_PAGE_SHIFT + order as u32)) - 1,
            })
        } else {
            None
        }
    }

    /// 2^`shift` descriptors, at most 128: for models of the algorithm, no hardware has less.
    pub const fn of_model(shift: u32) -> Self {
        assert!(shift <= SLOTS_PER_PAGE_SHIFT);
        Self {
            last: (1 << shift) - 1,
        }
    }

    /// log2 of the number of pages.
    #[inline]
    pub const fn order(self) -> u8 {
        (self.last >> SLOTS_PER_PAGE_SHIFT).count_ones() as u8
    }

    /// Bytes of the queue.
    #[inline]
    pub const fn bytes(self) -> usize {
        (self.last as usize + 1) << SLOT_SHIFT
    }

    /// Number of slots, a power of two.
    #[inline]
    pub const fn slots(self) -> u16 {
        // The last slot is 16383 at most.
        self.last.wrapping_add(1)
    }

    /// The queue address register: a queue of this size at `base`, which is aligned to 4 KiB, with
    /// 256-bit descriptors (VT-d spec, 11.4.9.3).
    pub const fn address_register(self, base: PhysAddr) -> u64 {
        PAGE_ADDRESS.keep(base.raw()) | Self::DW.put(1) | Self::QS.put(self.order() as u64)
    }

    /// The slot that a value of IQH or IQT means; `None` when it means none in this queue.
    #[inline]
    pub const fn slot(self, register: u64) -> Option<Slot> {
        let number = register >> SLOT_SHIFT;
        if number <= self.last as u64 && register == number << SLOT_SHIFT {
            Some(Slot(number as u16))
        } else {
            None
        }
    }

    /// The slot `count` after `slot`, around the end.
    #[inline]
    pub const fn after(self, slot: Slot, count: u16) -> Slot {
        Slot(slot.0.wrapping_add(count) & self.last)
    }

    /// The slot before `slot`, around the start.
    #[inline]
    pub const fn before(self, slot: Slot) -> Slot {
        Slot(slot.0.wrapping_sub(1) & self.last)
    }

    /// Number of slots from `from` up to, not including, `to`.
    #[inline]
    pub const fn distance(self, from: Slot, to: Slot) -> u16 {
        to.0.wrapping_sub(from.0) & self.last
    }

    /// How many descriptors may be added at `tail` while the oldest one still needed is at `head`.
    /// One slot stays unused, since equal head and tail mean an empty queue.
    #[inline]
    pub const fn free(self, head: Slot, tail: Slot) -> u16 {
        self.last.wrapping_sub(self.distance(head, tail))
    }

    /// The slots from `from` up to, not including, `to`, oldest first.
    pub fn range(self, from: Slot, to: Slot) -> impl Iterator<Item = Slot> {
        (0..self.distance(from, to)).map(move |count| self.after(from, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn registers() {
        // Two pages: 256 descriptors, as Linux has it.
        let size = QueueSize::from_order(1).unwrap();
        assert_eq!((size.slots(), size.bytes()), (256, 8192));
        assert_eq!(
            size.address_register(PhysAddr::new(0x1_2345_6000)),
            0x1_2345_6801
        );
        assert_eq!(size.slot(0x1fe0), Some(Slot(255)));
        assert_eq!(size.slot(0x2000), None);
        assert_eq!(size.slot(0x10), None);
        assert_eq!(size.slot(u64::MAX), None);
        assert_eq!(Slot(255).register(), 0x1fe0);
        assert_eq!(QueueSize::MAX.slots(), 16384);
        assert_eq!(QueueSize::MIN.slots(), 128);
        assert_eq!(QueueSize::from_order(8), None);
        assert_eq!(QueueSize::from_order(7), Some(QueueSize::MAX));
        assert_eq!((size.order(), QueueSize::MIN.order()), (1, 0));
    }

    #[test]
    fn around_the_end() {
        let size = QueueSize::MIN;
        assert_eq!(size.after(Slot(127), 1), Slot::FIRST);
        assert_eq!(size.before(Slot::FIRST), Slot(127));
        assert_eq!(size.distance(Slot(126), Slot(2)), 4);
        assert_eq!(
            size.range(Slot(126), Slot(1)).collect::<Vec<_>>(),
            [Slot(126), Slot(127), Slot(0)]
        );
        assert_eq!(size.free(Slot(5), Slot(5)), 127);
        assert_eq!(size.free(Slot(5), Slot(4)), 0);
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(1024))]
        #[test]
        fn a_ring_never_fills_up(order in 0u8..=7, start: u16, steps in prop::collection::vec((any::<u16>(), any::<u16>()), 0..40)) {
            let size = QueueSize::from_order(order).unwrap();
            let slots = size.slots();
            let mut head = Slot(start % slots);
            let mut tail = head;
            // The model: how many descriptors are in the queue.
            let mut used = 0;
            for (add, take) in steps {
                prop_assert_eq!(size.free(head, tail), slots - 1 - used);
                let add = add % (size.free(head, tail) + 1);
                prop_assert_eq!(size.range(tail, size.after(tail, add)).count(), usize::from(add));
                tail = size.after(tail, add);
                used += add;
                prop_assert_eq!(head == tail, used == 0);
                let take = take % (used + 1);
                head = size.after(head, take);
                used -= take;
                prop_assert_eq!(size.distance(head, tail), used);
                prop_assert_eq!(size.slot(head.register()), Some(head));
                prop_assert!(tail.index() < usize::from(slots));
                prop_assert_eq!(size.after(size.before(tail), 1), tail);
            }
        }
    }
}
