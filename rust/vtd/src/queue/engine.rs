// SPDX-License-Identifier: GPL-2.0

//! Submitting descriptors and waiting for them.

use super::log::{Cause, Span};
use super::patience::{Next, Patience};
use super::platform::{Platform, QueueEvent};
use super::record::Stop;
use super::ring::{Position, Ring, State};
use super::{QueueErrors, QueueSize, Slot, Sources};
use crate::atomic::{AtomicU64, Ordering};
use crate::invalidate::{Descriptor, WaitFlags};
use crate::regs::FaultStatus;
use siov_types::PhysAddr;

/// How often a submission is written when errors hit it.
pub const TRIES: u32 = 3;

/// The position that an empty queue starts with: that of the first slot in a queue of any size, and
/// soon before they wrap, so that they do so on each machine.
const FIRST: Position = Position::new(0).before(QueueSize::MAX.slots());

/// What a submitter waits for.
#[derive(Clone, Copy, Default)]
struct Run {
    /// The descriptors, the wait included.
    span: Span,
    /// Number of the first error that may have hit it.
    errors: u32,
}

/// What a submitter that waits keeps, over all its tries.
struct Watch<P> {
    tries: u32,
    /// What has hit the submission.
    found: QueueErrors,
    /// Position of its first descriptor.
    from: Position,
    /// Number of the next error to look at.
    seen: u32,
    /// What timed out since this was taken: what hit any of the tries, and all that was found while
    /// waiting, whatever it hit: who was hit may have given up already.
    sources: Sources,
    patience: Patience<P>,
}

impl<P: Platform> Watch<P> {
    fn new(run: Run) -> Self {
        Self {
            tries: 0,
            found: QueueErrors::default(),
            from: run.span.from,
            seen: run.errors,
            sources: Sources::default(),
            patience: Patience::new(),
        }
    }
}

/// The queue's algorithm on a platform.
pub struct Engine<'a, P: Platform>(&'a P);

impl<P: Platform> Clone for Engine<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for Engine<'_, P> {}

impl<'a, P: Platform> Engine<'a, P> {
    /// The queue of `platform`.
    #[inline(always)]
    pub fn new(platform: &'a P) -> Self {
        Self(platform)
    }

    /// Empties the queue. To be called before queued invalidation is switched on, which resets the
    /// head (VT-d spec, 6.5.2), while there are no submissions.
    pub fn reset(self) {
        let mut ring = self.0.lock();
        ring.tail = FIRST;
        ring.passed = FIRST;
        ring.stalled = false;
        self.0.status().store(FIRST.raw().into(), Ordering::Relaxed);
        ring.room = self.free(&mut ring);
        self.0.set_tail(0);
    }

    /// Submits what `fill` adds and waits until the unit has carried it out.
    ///
    /// When an error hits it, `fill` is called again; it must add the same, except for device-TLB
    /// invalidations of functions that timed out. Those are passed to `block` before.
    ///
    /// May be called in any context.
    ///
    /// # Errors
    ///
    /// All that hit the submission, also when it was complete in the end. A queue that has stalled
    /// fails all submissions, until one finds that the unit has caught up: that one still fails.
    #[inline]
    pub fn submit(
        self,
        mut fill: impl FnMut(&mut Submission<'a, P>),
        mut block: impl FnMut(&Sources),
    ) -> Result<(), QueueErrors> {
        let mut watch = None;
        loop {
            let run = {
                let mut submission = Submission::new(self);
                fill(&mut submission);
                submission.finish()
            };
            if let (Ok(run), None) = (run, &watch) {
                if self.reported().is_past(run.span.to) && self.state().errors() == run.errors {
                    return Ok(());
                }
            }
            if let Some(result) = self.finish(run, &mut watch, &mut block) {
                return result;
            }
        }
    }

    /// Waits for a run. Returns what came of the submission, or `None` when it is to be repeated.
    #[cold]
    fn finish(
        self,
        run: Result<Run, QueueErrors>,
        watch: &mut Option<Watch<P>>,
        block: &mut dyn FnMut(&Sources),
    ) -> Option<Result<(), QueueErrors>> {
        let first = run.unwrap_or_default();
        let watch = watch.get_or_insert_with(|| Watch::new(first));
        let hits = match run {
            Ok(run) => self.wait(run, watch),
            Err(errors) => {
                watch.sources.merge(&errors.ite);
                errors
            }
        };
        let sources = core::mem::take(&mut watch.sources);
        if !sources.is_empty() {
            watch.found.ite.merge(&sources);
            block(&sources);
        }
        watch.found.merge(&hits);
        watch.found.complete = hits.is_empty();
        watch.tries += 1;
        let found = &watch.found;
        if found.complete && found.is_empty() {
            Some(Ok(()))
        } else if found.complete || found.stalled || watch.tries == TRIES {
            Some(Err(*found))
        } else {
            None
        }
    }

    /// Waits until the unit has carried `run` out as far as errors let it. Returns those that hit
    /// it.
    fn wait(self, run: Run, watch: &mut Watch<P>) -> QueueErrors {
        let last = Span {
            from: run.span.to.before(1),
            to: run.span.to,
        };
        let all = Span {
            from: watch.from,
            to: run.span.to,
        };
        let mut hits = QueueErrors::default();
        watch.patience.renew();
        loop {
            // In this order: what a later run reports does not hide the error that hit this one.
            let reported = self.reported();
            let errors = self.state().errors();
            if errors != watch.seen {
                let ring = self.0.lock();
                let seen = core::mem::replace(&mut watch.seen, ring.log.next());
                watch.sources.merge(&ring.log.hits(seen, all).ite);
                hits.merge(&ring.log.hits(seen, run.span));
                // After an IQE, the unit goes on with the next descriptor; the wait will report,
                // unless it was itself refused.
                if hits.stalled || !hits.ite.is_empty() || ring.log.hits(seen, last).iqe {
                    return hits;
                }
                // The queue moves again.
                watch.patience.renew();
            } else if reported.is_past(run.span.to) {
                return hits;
            } else {
                let found = match watch.patience.next(self.0) {
                    Next::Look => continue,
                    Next::Check => self.check(&mut self.0.lock()),
                    Next::GiveUp => self.stall(&mut self.0.lock(), run.span.to),
                };
                watch.sources.merge(&found);
            }
        }
    }

    /// Looks for errors of the queue, and gets it moving again (VT-d spec, 6.5.2.10). Returns what
    /// timed out.
    fn check(self, ring: &mut Ring) -> Sources {
        let mut sources = Sources::default();
        let status = self.0.fault_status();
        if !status.intersects(FaultStatus::QUEUE_ERRORS) || status == FaultStatus::all() {
            // All ones: there is no unit any more.
            return sources;
        }
        let record = self.0.error_record();
        if status.contains(FaultStatus::ICE) {
            ring.counters.ice += 1;
            self.0.clear(FaultStatus::ICE);
            self.0.report(QueueEvent::Ice {
                source: record.unexpected_completion(),
            });
        }
        let size = self.state().size;
        let tail = self.slot(ring.tail);
        match Stop::new(size, status, self.0.head()) {
            None => {}
            Some(Stop::Iqe { slot }) => {
                ring.counters.iqe += 1;
                let from = ring.tail.before(size.distance(slot, tail));
                let to = from.next();
                ring.passed = from;
                self.log(ring, Cause::Iqe, Span { from, to });
                self.0.report(QueueEvent::Iqe {
                    descriptor: self.read(slot),
                    reason: record.reason(),
                });
                // The queue goes on from this slot once the flag is cleared: let it find something
                // that it accepts.
                self.store(slot, self.fence());
                self.restart(ring, FaultStatus::IQE);
            }
            Some(Stop::Ite { last }) => {
                ring.counters.ite += 1;
                let source = record.timed_out();
                // All up to here was fetched, waits included, and will never report.
                let next = size.after(last, 1);
                ring.passed = ring.tail.before(size.distance(next, tail));
                let hit = Span {
                    from: self.reported(),
                    to: ring.passed.max(self.reported()),
                };
                self.log(ring, Cause::Ite(source), hit);
                sources.insert(source);
                self.0.report(QueueEvent::Ite { source });
                self.restart(ring, FaultStatus::ITE);
            }
        }
        sources
    }

    /// Lets the unit go on after this error.
    fn restart(self, ring: &Ring, error: FaultStatus) {
        self.0.clear(error);
        // QEMU's unit does not fetch before the tail is written. To others this is nothing new.
        self.0.set_tail(self.slot(ring.tail).register());
    }

    /// Gives the queue up for the time being, if the unit has not come to `target` at last, and no
    /// error is found that has stopped it. Returns what timed out.
    fn stall(self, ring: &mut Ring, target: Position) -> Sources {
        let errors = ring.log.next();
        let sources = self.check(ring);
        if ring.log.next() != errors || self.reported().is_past(target) {
            return sources;
        }
        if !ring.stalled {
            ring.stalled = true;
            ring.room = 0;
            ring.counters.stalls += 1;
            self.0.report(QueueEvent::Stalled {
                head: self.0.head(),
                tail: self.slot(ring.tail).register(),
            });
        }
        let from = self.reported();
        let to = ring.tail;
        self.log(ring, Cause::Stall, Span { from, to });
        sources
    }

    /// Looks whether a queue that has stalled can be used again: the unit has carried out, or lost
    /// to a time-out, all that was in it. Returns what was found on the way.
    fn resume(self, ring: &mut Ring) -> QueueErrors {
        let ite = self.check(ring);
        let room = self.free(ring);
        let resumed = ring.passed == ring.tail;
        if resumed {
            ring.stalled = false;
            ring.room = room;
            self.0.report(QueueEvent::Resumed);
        }
        QueueErrors {
            ite,
            stalled: true,
            resumed,
            ..QueueErrors::default()
        }
    }

    /// Adds an error to the log. The unit must not go on before.
    fn log(self, ring: &mut Ring, cause: Cause, hit: Span) {
        ring.log.add(cause, hit);
        // Relaxed: see `State::errors`.
        self.state()
            .errors
            .store(ring.log.next(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn state(self) -> &'a State {
        self.0.state()
    }

    /// Position up to which the unit has reported.
    #[inline(always)]
    fn reported(self) -> Position {
        // Acquire: what the invalidation made unreachable may be reused after this.
        Position::new(self.0.status().load(Ordering::Acquire) as u32)
    }

    /// Slots that are free, without the one that is never used.
    fn free(self, ring: &mut Ring) -> u32 {
        // Each time, so that it stays less than half the circle behind.
        ring.passed = self.reported().max(ring.passed);
        let used = ring.tail.since(ring.passed);
        u32::from(self.state().size.slots() - 1).saturating_sub(used)
    }

    #[inline(always)]
    fn slot(self, position: Position) -> Slot {
        self.state().size.after(Slot::FIRST, position.raw() as u16)
    }

    /// The words of `slot`, which lies in the ring.
    #[inline(always)]
    fn words(self, slot: Slot) -> Option<&'a [AtomicU64; Descriptor::WORDS]> {
        let start = slot.index() * Descriptor::WORDS;
        let words = self.0.descriptors().get(start..start + Descriptor::WORDS)?;
        words.first_chunk()
    }

    #[inline(always)]
    fn store(self, slot: Slot, descriptor: Descriptor) {
        if let Some(words) = self.words(slot) {
            for (word, value) in words.iter().zip(descriptor.raw()) {
                // Relaxed: the write of the tail register orders them.
                word.store(value, Ordering::Relaxed);
            }
        }
    }

    fn read(self, slot: Slot) -> Descriptor {
        let words = self.words(slot);
        Descriptor::from_raw(words.map_or([0; Descriptor::WORDS], |words| {
            words.each_ref().map(|word| word.load(Ordering::Relaxed))
        }))
    }

    /// A wait that nobody waits for. It writes to memory that is never read, because older emulated
    /// units refuse waits that neither write nor interrupt.
    fn fence(self) -> Descriptor {
        let unread = PhysAddr::new(self.0.status_address().raw() | size_of::<u64>() as u64);
        Descriptor::wait_status(unread, 0, WaitFlags::FENCE)
    }
}

/// A run of descriptors being written. Holds the ring's lock.
pub struct Submission<'a, P: Platform> {
    engine: Engine<'a, P>,
    ring: P::Guard<'a>,
    /// Number of the first error that may hit the run.
    errors: u32,
    from: Position,
    /// Position after the last descriptor, which the unit need not have been told of.
    tail: Position,
    /// Slots that are free for certain.
    room: u32,
    /// What a queue that has stalled has found.
    dead: Option<QueueErrors>,
}

impl<'a, P: Platform> Submission<'a, P> {
    #[inline(always)]
    fn new(engine: Engine<'a, P>) -> Self {
        let ring = engine.0.lock();
        Self {
            engine,
            errors: engine.state().errors(),
            from: ring.tail,
            tail: ring.tail,
            room: ring.room,
            dead: None,
            ring,
        }
    }

    /// Adds one descriptor.
    #[inline(always)]
    pub fn push(&mut self, descriptor: Descriptor) {
        // The last one is for the wait.
        if self.room >= 2 || self.make_room(2) {
            self.append(descriptor);
        }
    }

    /// What follows is carried out after what was added so far, not at the same time.
    #[inline(always)]
    pub fn fence(&mut self) {
        self.push(self.engine.fence());
    }

    #[inline(always)]
    fn append(&mut self, descriptor: Descriptor) {
        let [low, ..] = descriptor.raw();
        if let Some(count) = self.ring.counters.by_type.get_mut((low & 0xf) as usize) {
            *count += 1;
        }
        self.engine.store(self.engine.slot(self.tail), descriptor);
        self.tail = self.tail.next();
        // There is at least one.
        self.room -= 1;
    }

    /// Ends what was added so far with a wait, and has the unit see it.
    #[inline(always)]
    fn publish(&mut self) {
        self.append(Descriptor::wait_status(
            self.engine.0.status_address(),
            self.tail.next().raw(),
            WaitFlags::empty(),
        ));
        self.ring.tail = self.tail;
        self.ring.room = self.room;
        let tail = self.engine.slot(self.tail);
        self.engine.0.set_tail(tail.register());
    }

    /// Ends the run.
    #[inline(always)]
    fn finish(&mut self) -> Result<Run, QueueErrors> {
        if self.room >= 1 || self.make_room(1) {
            self.publish();
            return Ok(Run {
                span: Span {
                    from: self.from,
                    to: self.tail,
                },
                errors: self.errors,
            });
        }
        Err(self.dead.unwrap_or_default())
    }

    /// Has the unit work off what is in the ring, until there are `slots` free ones. Fails when the
    /// queue has stalled.
    #[cold]
    fn make_room(&mut self, slots: u32) -> bool {
        let engine = self.engine;
        if self.dead.is_some() {
            return false;
        }
        if self.ring.stalled {
            self.dead = Some(engine.resume(&mut self.ring));
            return false;
        }
        // The unit has come further since this was looked at. What is not published yet is in use.
        let pending = self.tail.since(self.ring.tail);
        self.room = engine.free(&mut self.ring).saturating_sub(pending);
        if self.room >= slots {
            return true;
        }
        if pending > 0 {
            self.publish();
        }
        let mut patience = Patience::<P>::new();
        loop {
            self.room = engine.free(&mut self.ring);
            if self.room >= slots {
                return true;
            }
            let sources = match patience.next(engine.0) {
                Next::Look => continue,
                Next::Check => engine.check(&mut self.ring),
                Next::GiveUp => {
                    patience.renew();
                    engine.stall(&mut self.ring, self.tail)
                }
            };
            // What is found here counts as having hit this run, at the descriptor that is to come.
            let run = Span {
                from: self.from,
                to: self.tail.next(),
            };
            for source in sources.iter() {
                engine.log(&mut self.ring, Cause::Ite(source), run);
            }
            if self.ring.stalled {
                // Nothing is added any more.
                self.room = 0;
                self.dead = Some(QueueErrors {
                    stalled: true,
                    ..self.ring.log.hits(self.errors, run)
                });
                return false;
            }
        }
    }
}
