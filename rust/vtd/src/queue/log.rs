// SPDX-License-Identifier: GPL-2.0

//! The last errors of the queue, and which positions they hit.

use siov_types::Bdf;

use super::ring::Position;
use super::QueueErrors;

/// How many events are remembered one by one.
const EVENTS: u32 = 16;

/// Positions from `from` up to, not including, `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub(super) from: Position,
    pub(super) to: Position,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.from == self.to
    }

    fn overlaps(self, other: Self) -> bool {
        !self.is_empty()
            && !other.is_empty()
            && !self.from.is_past(other.to)
            && !other.from.is_past(self.to)
    }
}

/// Why descriptors were lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    Iqe,
    Ite(Option<Bdf>),
    Stall,
}

impl Cause {
    fn add_to(self, errors: &mut QueueErrors) {
        match self {
            Self::Iqe => errors.iqe = true,
            Self::Ite(source) => errors.ite.insert(source),
            Self::Stall => errors.stalled = true,
        }
    }
}

#[derive(Clone, Copy)]
struct Event {
    cause: Cause,
    hit: Span,
}

/// Events by number. The oldest make room for new ones; of those, the last one of each cause is
/// known.
#[derive(Default)]
pub(super) struct Log {
    events: [Option<Event>; EVENTS as usize],
    /// Number of the next event.
    next: u32,
    /// Numbers of the last IQE, ITE and stall that have made room.
    dropped: [Option<u32>; 3],
}

impl Log {
    /// Number of the next event.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Adds an event that hit these positions.
    pub(super) fn add(&mut self, cause: Cause, hit: Span) {
        let number = self.next;
        let [iqe, ite, stall] = &mut self.dropped;
        if let Some(slot) = self.events.get_mut((number % EVENTS) as usize) {
            if let Some(old) = slot.replace(Event { cause, hit }) {
                *match old.cause {
                    Cause::Iqe => iqe,
                    Cause::Ite(_) => ite,
                    Cause::Stall => stall,
                } = Some(number.wrapping_sub(EVENTS));
            }
        }
        self.next = number.wrapping_add(1);
    }

    /// What has hit `run` by events from number `first` on. An event that has made room counts as
    /// one that hit it.
    pub(super) fn hits(&self, first: u32, run: Span) -> QueueErrors {
        let mut errors = QueueErrors::default();
        let new = self.next.wrapping_sub(first);
        for back in 1..=new.min(EVENTS) {
            let number = self.next.wrapping_sub(back);
            if let Some(Some(event)) = self.events.get((number % EVENTS) as usize) {
                if event.hit.overlaps(run) {
                    event.cause.add_to(&mut errors);
                }
            }
        }
        for (number, cause) in self
            .dropped
            .iter()
            .zip([Cause::Iqe, Cause::Ite(None), Cause::Stall])
        {
            if number.is_some_and(|number| number.wrapping_sub(first) < new) {
                cause.add_to(&mut errors);
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: u32, to: u32) -> Span {
        Span {
            from: Position::new(from),
            to: Position::new(to),
        }
    }

    fn bdf(bus: u8) -> Bdf {
        Bdf::new(bus, 0)
    }

    #[test]
    fn spans() {
        for shift in [0, 0u32.wrapping_sub(7)] {
            let span = |from: u32, to: u32| span(from.wrapping_add(shift), to.wrapping_add(shift));
            let a = span(5, 8);
            for other in [span(0, 6), span(7, 9), span(6, 7), span(0, 20), a] {
                assert!(a.overlaps(other) && other.overlaps(a), "{other:?}");
            }
            for other in [span(0, 5), span(8, 9), span(6, 6), span(5, 5)] {
                assert!(!a.overlaps(other) && !other.overlaps(a), "{other:?}");
            }
        }
    }

    #[test]
    fn each_run_finds_what_hit_it() {
        let mut log = Log::default();
        let first = log.next();
        log.add(Cause::Ite(Some(bdf(1))), span(0, 10));
        log.add(Cause::Iqe, span(12, 13));
        let seen = log.next();
        log.add(Cause::Ite(Some(bdf(2))), span(4, 20));

        let early = log.hits(first, span(0, 4));
        assert!(early.ite.may_contain(bdf(1)) && !early.ite.may_contain(bdf(2)) && !early.iqe);
        let both = log.hits(first, span(8, 11));
        assert!(both.ite.may_contain(bdf(1)) && both.ite.may_contain(bdf(2)) && !both.iqe);
        let refused = log.hits(first, span(11, 20));
        assert!(refused.iqe && !refused.ite.may_contain(bdf(1)));
        assert!(!log.hits(seen, span(11, 20)).iqe);
        assert!(log.hits(first, span(20, 30)).is_empty());
        assert!(log.hits(log.next(), span(0, 30)).is_empty());
    }

    #[test]
    fn what_made_room_counts() {
        // Numbers wrap, too.
        let mut log = Log {
            next: u32::MAX - 3,
            ..Log::default()
        };
        let first = log.next();
        log.add(Cause::Ite(Some(bdf(1))), span(0, 1));
        let later = log.next();
        for n in 0..EVENTS {
            log.add(Cause::Iqe, span(n, n + 1));
        }
        // The first is gone: which device it was is not known any more.
        let found = log.hits(first, span(100, 101));
        assert!(found.ite.may_contain(bdf(9)) && !found.iqe);
        // One that came later is not concerned.
        assert!(log.hits(later, span(100, 101)).is_empty());
        log.add(Cause::Stall, span(0, 1));
        assert!(log.hits(later, span(100, 101)).iqe);
        for _ in 0..EVENTS {
            log.add(Cause::Iqe, span(0, 1));
        }
        let found = log.hits(first, span(100, 101));
        assert!(found.stalled && found.iqe && !found.ite.is_empty());
    }
}
