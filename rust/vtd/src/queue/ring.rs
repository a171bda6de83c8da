// SPDX-License-Identifier: GPL-2.0

//! The state of the queue: what every submitter looks at, and what the lock protects.

use super::log::Log;
use super::lost::Lost;
use super::QueueSize;
use crate::atomic::{AtomicU32, Ordering};

/// A position: the number of descriptors that were queued before, modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub(super) struct Position(u32);

impl Position {
    #[inline(always)]
    pub(super) const fn new(raw: u32) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(super) const fn raw(self) -> u32 {
        self.0
    }

    /// Whether this position has reached `target`. The two are less than half the circle apart.
    #[inline(always)]
    pub(super) const fn is_past(self, target: Self) -> bool {
        self.0.wrapping_sub(target.0) as i32 >= 0
    }

    /// The position after this one.
    #[inline(always)]
    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The position `count` before this one.
    #[inline(always)]
    pub(super) const fn before(self, count: u16) -> Self {
        Self(self.0.wrapping_sub(count as u32))
    }

    /// Number of positions from `earlier` up to this one.
    #[inline(always)]
    pub(super) const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The later one of both.
    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        if self.is_past(other) {
            self
        } else {
            other
        }
    }
}

/// What every submitter looks at without the lock.
#[derive(Debug)]
pub struct State {
    pub(super) size: QueueSize,
    /// Number of errors. Changes under the lock, before the unit goes on after the error.
    pub(super) errors: AtomicU32,
    /// Not 0: the number of the last time that context entries were changed so that they block, and
    /// the unit may have others cached. Changes under the lock.
    pub(super) unsettled: AtomicU32,
}

impl State {
    /// Of a queue of this size.
    pub fn new(size: QueueSize) -> Self {
        Self {
            size,
            errors: AtomicU32::new(0),
            unsettled: AtomicU32::new(0),
        }
    }

    /// Size of the queue.
    pub fn size(&self) -> QueueSize {
        self.size
    }

    #[inline(always)]
    pub(super) fn errors(&self) -> u32 {
        // Relaxed: one who sees that the unit went on after an error, by an acquiring load of what
        // it reported, sees the error's number.
        self.errors.load(Ordering::Relaxed)
    }

    /// Whether the unit has no context entry cached that lets translated requests of a function
    /// through which is blocked in memory.
    #[inline(always)]
    pub(super) fn is_settled(&self) -> bool {
        // Acquire: goes with the release of what says that a TLB need not be invalidated any more.
        self.unsettled.load(Ordering::Acquire) == 0
    }
}

/// What the queue has done since it was made, in descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// By the type field of the descriptor.
    pub by_type: [u64; 16],
    /// Times IQE was found.
    pub iqe: u64,
    /// Times ITE was found.
    pub ite: u64,
    /// Times ICE was found.
    pub ice: u64,
    /// Times the queue stalled.
    pub stalls: u64,
}

/// What the ring's lock protects.
pub struct Ring {
    /// Position after the last descriptor that was queued: where IQT points.
    pub(super) tail: Position,
    /// Slots that are free for certain: less than there are, as long as it is not looked how far
    /// the unit has come. 0 while the queue is stalled.
    pub(super) room: u32,
    /// Position up to which the unit has fetched, beside what it has reported.
    pub(super) passed: Position,
    /// The unit has stood still for too long, and has not caught up since.
    pub(super) stalled: bool,
    pub(super) log: Log,
    /// Device-TLB invalidations that were lost.
    pub(super) lost: Lost,
    /// How often context entries were changed so that they block.
    pub(super) blocks: u32,
    pub(super) counters: Counters,
}

impl Ring {
    /// An empty queue, to be [reset](super::Engine::reset) before it is used.
    pub fn new() -> Self {
        Self {
            tail: Position::new(0),
            room: 0,
            passed: Position::new(0),
            stalled: false,
            log: Log::default(),
            lost: Lost::default(),
            blocks: 0,
            counters: Counters::default(),
        }
    }

    /// What the queue has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_wrap() {
        let last = Position::new(u32::MAX);
        assert_eq!(last.next(), Position::new(0));
        assert!(last.next().is_past(last) && !last.is_past(last.next()));
        assert!(last.is_past(last));
        assert_eq!(last.next().before(1), last);
        assert_eq!(last.next().next().since(last), 2);
        assert_eq!(last.max(last.next()), last.next());
        assert_eq!(last.next().max(last), last.next());
    }
}
