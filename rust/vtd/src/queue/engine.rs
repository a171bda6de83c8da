// SPDX-License-Identifier: GPL-2.0

//! Submitting descriptors and waiting for them.

use super::log::{Cause, Span};
use super::patience::{Next, Patience};
use super::platform::{Platform, QueueEvent};
use super::record::Stop;
use super::ring::{Position, Ring, State};
use super::{QueueErrors, QueueSize, Slot, Sources};
use crate::atomic::{AtomicU64, Ordering};
use crate::invalidate::{Descriptor, Kind, WaitFlags};
use crate::regs::FaultStatus;
use siov_types::Bdf;

/// How often a submission is written when errors hit it.
pub const TRIES: u32 = 3;

/// The position that an empty queue starts with: that of the first slot in a queue of any size, and
/// soon before they wrap, so that they do so on each machine.
const FIRST: Position = Position::new(0).before(QueueSize::MAX.slots());

/// What a submitter waits for.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    /// The descriptors, the wait included.
    span: Span,
    /// Position after its last fence; that of the first descriptor without one.
    fenced: Position,
    /// Number of the first error that may have hit it.
    errors: u32,
}

/// A run as far as it was written: its end, or what a queue that has stalled has found; and the
/// delays that the call has passed so far.
pub(super) type Written = (Result<Run, QueueErrors>, u32);

/// What a submitter that waits keeps, over all its tries.
struct Watch {
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
}

impl Watch {
    fn new(run: Run) -> Self {
        Self {
            tries: 0,
            found: QueueErrors::default(),
            from: run.span.from,
            seen: run.errors,
            sources: Sources::default(),
        }
    }
}

/// The queue's algorithm on a platform.
pub struct Engine<'a, P: Platform>(pub(super) &'a P);

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
    /// invalidations of functions that timed out, or have been removed. Those that timed out are
    /// passed to `block` before, which returns whether that is a failure.
    ///
    /// May be called in any context. Waits for [`CALL_MS`](super::CALL_MS) at most.
    ///
    /// # Errors
    ///
    /// All that hit the submission, also when it was complete in the end. A queue that has stalled
    /// fails all submissions, until one finds that the unit has caught up: that one still fails.
    #[inline]
    pub fn submit(
        self,
        mut fill: impl FnMut(&mut Submission<'a, P>),
        mut block: impl FnMut(&Sources) -> bool,
    ) -> Result<(), QueueErrors> {
        let written = self.write(&mut fill, 0);
        if self.is_done(&written) {
            return Ok(());
        }
        let (_, passed) = written;
        self.finish(written, &mut Patience::new(passed), &mut fill, &mut block)
    }

    /// Writes one run.
    #[inline(always)]
    pub(super) fn write(
        self,
        mut fill: impl FnMut(&mut Submission<'a, P>),
        passed: u32,
    ) -> Written {
        let mut submission = Submission::new(self, Mode::Live { passed });
        fill(&mut submission);
        submission.finish()
    }

    /// Whether the unit has carried the run out, without an error.
    #[inline(always)]
    pub(super) fn is_done(self, written: &Written) -> bool {
        matches!(written, (Ok(run), _)
            if self.reported().is_past(run.span.to) && self.state().errors() == run.errors)
    }

    /// Waits for a run, and repeats it when errors hit it.
    #[cold]
    pub(super) fn finish(
        self,
        written: Written,
        patience: &mut Patience<P>,
        fill: &mut impl FnMut(&mut Submission<'a, P>),
        block: &mut dyn FnMut(&Sources) -> bool,
    ) -> Result<(), QueueErrors> {
        let (mut run, _) = written;
        let mut watch = Watch::new(run.unwrap_or_default());
        loop {
            let hits = match run {
                Ok(run) => self.wait(run, &mut watch, patience, fill),
                Err(errors) => {
                    watch.sources.merge(&errors.ite);
                    errors
                }
            };
            let sources = core::mem::take(&mut watch.sources);
            if !sources.is_empty() && block(&sources) {
                watch.found.ite.merge(&sources);
            }
            watch.found.merge_without_sources(&hits);
            watch.found.complete = hits.is_empty();
            watch.tries += 1;
            let found = &watch.found;
            if found.complete && found.is_empty() {
                return Ok(());
            }
            if found.complete || found.stalled || watch.tries == TRIES {
                return Err(*found);
            }
            let passed;
            (run, passed) = self.write(&mut *fill, patience.passed());
            *patience = Patience::new(passed);
        }
    }

    /// Waits until the unit has carried `run` out as far as errors let it. Returns those that hit
    /// it.
    fn wait(
        self,
        run: Run,
        watch: &mut Watch,
        patience: &mut Patience<P>,
        fill: &mut impl FnMut(&mut Submission<'a, P>),
    ) -> QueueErrors {
        let last = Span {
            from: run.span.to.before(1),
            to: run.span.to,
        };
        let all = Span {
            from: watch.from,
            to: run.span.to,
        };
        let mut hits = QueueErrors::default();
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
                patience.renew();
            } else if reported.is_past(run.span.to) {
                return hits;
            } else {
                let found = match patience.next(self.0) {
                    Next::Look => continue,
                    Next::Check => {
                        let found = self.check(&mut self.0.lock());
                        if hits.is_empty() && self.waits_for_none(run, watch.seen, fill) {
                            return hits;
                        }
                        found
                    }
                    Next::GiveUp => {
                        let exhausted = patience.is_exhausted();
                        self.stall(&mut self.0.lock(), run.span.to, exhausted)
                    }
                };
                watch.sources.merge(&found);
            }
        }
    }

    /// Whether all that `run` still waits for are TLBs that need not be invalidated any more,
    /// because their devices have been removed. None of the errors up to number `seen` hit it.
    ///
    /// The unit will report that they timed out, and until then nothing that comes later.
    fn waits_for_none(
        self,
        run: Run,
        seen: u32,
        fill: &mut impl FnMut(&mut Submission<'a, P>),
    ) -> bool {
        let has_fence = run.fenced != run.span.from;
        // In this order, as for the whole run.
        if !has_fence || !self.reported().is_past(run.fenced) || self.state().errors() != seen {
            return false;
        }
        // What would be added now.
        let mut submission = Submission::new(self, Mode::Dry(Dry::default()));
        fill(&mut submission);
        matches!(submission.mode, Mode::Dry(dry) if !dry.device_tlbs && !dry.others)
    }

    /// Remembers the TLBs that `fill` invalidates: that was lost. Returns the functions that there
    /// is no room for, and whether the queue stands still.
    pub(super) fn lose(self, fill: &mut impl FnMut(&mut Submission<'a, P>)) -> (Sources, bool) {
        let dry = Dry {
            lose: true,
            ..Dry::default()
        };
        let mut submission = Submission::new(self, Mode::Dry(dry));
        fill(&mut submission);
        let stalled = submission.ring.stalled;
        match submission.mode {
            Mode::Dry(dry) => (dry.no_room, stalled),
            _ => (Sources::default(), stalled),
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
                self.store(slot, self.no_operation(to));
                self.restart(ring, FaultStatus::IQE);
            }
            Some(Stop::Ite { last }) => {
                ring.counters.ite += 1;
                let source = record.timed_out();
                // All up to here was fetched, waits included, and will never report.
                let next = size.after(last, 1);
                ring.passed = ring.tail.before(size.distance(next, tail));
                let from = self.reported();
                let to = ring.passed.max(from);
                let to = to.max(self.cancel(ring, source));
                self.log(ring, Cause::Ite(source), Span { from, to });
                sources.insert(source);
                self.0.report(QueueEvent::Ite { source });
                self.restart(ring, FaultStatus::ITE);
            }
        }
        sources
    }

    /// Takes device-TLB invalidations of `source`, of all functions when it is not known, out of
    /// what the unit has not fetched. It has stopped, and each of them would time out as well, one
    /// after the other. Returns the position after the last one.
    fn cancel(self, ring: &Ring, source: Option<Bdf>) -> Position {
        let size = self.state().size;
        let mut end = ring.passed;
        let mut position = ring.passed;
        while position != ring.tail {
            let slot = size.after(Slot::FIRST, position.raw() as u16);
            position = position.next();
            let [low, ..] = self.read(slot).raw();
            let device = Descriptor::device_of(low);
            if device.is_some() && (source.is_none() || device == source) {
                self.store(slot, self.no_operation(position));
                end = position;
            }
        }
        end
    }

    /// Lets the unit go on after this error.
    fn restart(self, ring: &Ring, error: FaultStatus) {
        self.0.clear(error);
        // QEMU's unit does not fetch before the tail is written. To others this is nothing new.
        self.0.set_tail(self.slot(ring.tail).register());
    }

    /// Gives the queue up for the time being, if the unit has not come to `target` at last, and no
    /// error is found that has stopped it, or the call may not wait any longer. Returns what timed
    /// out.
    fn stall(self, ring: &mut Ring, target: Position, exhausted: bool) -> Sources {
        let errors = ring.log.next();
        let sources = self.check(ring);
        let moves = ring.log.next() != errors && !exhausted;
        if moves || self.reported().is_past(target) {
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
    pub(super) fn state(self) -> &'a State {
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

    /// What stands in a slot in place of a descriptor that must not be carried out: a wait that
    /// reports that the unit has come past it, to `end`.
    fn no_operation(self, end: Position) -> Descriptor {
        Descriptor::wait_status(self.0.status_address(), end.raw(), WaitFlags::FENCE)
    }
}

/// What becomes of what is added to a [`Submission`].
enum Mode {
    /// It is written, by a call that has passed this many delays.
    Live { passed: u32 },
    /// Nothing: the queue has stalled, and has found this.
    Dead { found: QueueErrors, passed: u32 },
    /// Nothing: what it would be is looked at.
    Dry(Dry),
}

#[derive(Clone, Copy, Default)]
struct Dry {
    /// Device-TLB invalidations are lost.
    lose: bool,
    /// Functions that there was no room for among those that are lost.
    no_room: Sources,
    /// There were device-TLB invalidations.
    device_tlbs: bool,
    /// There was something else after the last fence.
    others: bool,
}

/// A run of descriptors being written. Holds the ring's lock.
pub struct Submission<'a, P: Platform> {
    engine: Engine<'a, P>,
    ring: P::Guard<'a>,
    /// Number of the first error that may hit the run.
    errors: u32,
    from: Position,
    /// Position after the last fence.
    fenced: Position,
    /// Position after the last descriptor, which the unit need not have been told of.
    tail: Position,
    /// Slots that are free for certain; 0 unless what is added is written.
    room: u32,
    mode: Mode,
}

impl<'a, P: Platform> Submission<'a, P> {
    #[inline(always)]
    fn new(engine: Engine<'a, P>, mode: Mode) -> Self {
        let ring = engine.0.lock();
        Self {
            engine,
            errors: engine.state().errors(),
            from: ring.tail,
            fenced: ring.tail,
            tail: ring.tail,
            room: match mode {
                Mode::Live { .. } => ring.room,
                _ => 0,
            },
            mode,
            ring,
        }
    }

    /// Whether what is added is only looked at, to see what would be.
    pub fn is_dry(&self) -> bool {
        matches!(self.mode, Mode::Dry(_))
    }

    /// Adds one descriptor.
    #[inline(always)]
    pub fn push(&mut self, descriptor: Descriptor) {
        let [low, ..] = descriptor.raw();
        // The last one is for the wait.
        if self.room >= 2 || self.make_room(2, low) {
            self.append(descriptor);
        }
    }

    /// What follows is carried out after what was added so far, not at the same time.
    #[inline(always)]
    pub fn fence(&mut self) {
        const LOW: u64 = Kind::Wait as u64;
        if self.room >= 2 || self.make_room(2, LOW) {
            self.append_wait(WaitFlags::FENCE);
            self.fenced = self.tail;
        }
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

    /// Adds a wait that reports how far the unit has come.
    #[inline(always)]
    fn append_wait(&mut self, flags: WaitFlags) {
        self.append(Descriptor::wait_status(
            self.engine.0.status_address(),
            self.tail.next().raw(),
            flags,
        ));
    }

    /// Ends what was added so far with a wait, and has the unit see it.
    #[inline(always)]
    fn publish(&mut self) {
        self.append_wait(WaitFlags::empty());
        self.ring.tail = self.tail;
        self.ring.room = self.room;
        let tail = self.engine.slot(self.tail);
        self.engine.0.set_tail(tail.register());
    }

    /// Ends the run.
    #[inline(always)]
    fn finish(mut self) -> Written {
        if self.room >= 1 || self.make_room(1, 0) {
            self.publish();
            let run = Run {
                span: Span {
                    from: self.from,
                    to: self.tail,
                },
                fenced: self.fenced,
                errors: self.errors,
            };
            return (Ok(run), self.passed());
        }
        match self.mode {
            Mode::Dead { found, passed } => (Err(found), passed),
            _ => (Err(QueueErrors::default()), 0),
        }
    }

    #[inline(always)]
    fn passed(&self) -> u32 {
        match self.mode {
            Mode::Live { passed } => passed,
            _ => 0,
        }
    }

    /// Has the unit work off what is in the ring, until there are `slots` free ones. Fails when the
    /// queue has stalled, and when nothing is to be written. `low` is the low word of what is to be
    /// added.
    #[cold]
    fn make_room(&mut self, slots: u32, low: u64) -> bool {
        let engine = self.engine;
        let passed = match &mut self.mode {
            Mode::Dead { .. } => return false,
            Mode::Dry(dry) => {
                dry.add(&mut self.ring, low);
                return false;
            }
            Mode::Live { passed } => *passed,
        };
        if self.ring.stalled {
            let found = engine.resume(&mut self.ring);
            self.mode = Mode::Dead { found, passed };
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
        let mut patience = Patience::<P>::new(passed);
        loop {
            self.room = engine.free(&mut self.ring);
            if self.room >= slots {
                let passed = patience.passed();
                self.mode = Mode::Live { passed };
                return true;
            }
            let sources = match patience.next(engine.0) {
                Next::Look => continue,
                Next::Check => engine.check(&mut self.ring),
                Next::GiveUp => {
                    let exhausted = patience.is_exhausted();
                    patience.renew();
                    engine.stall(&mut self.ring, self.tail, exhausted)
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
                let found = QueueErrors {
                    stalled: true,
                    ..self.ring.log.hits(self.errors, run)
                };
                let passed = patience.passed();
                self.mode = Mode::Dead { found, passed };
                return false;
            }
        }
    }
}

impl Dry {
    /// Looks at the low word of a descriptor.
    fn add(&mut self, ring: &mut Ring, low: u64) {
        if let Some(source) = Descriptor::device_of(low) {
            self.device_tlbs = true;
            if self.lose && ring.lost.insert(low).is_err() {
                self.no_room.insert(Some(source));
            }
        } else {
            self.others = low != Kind::Wait as u64;
        }
    }
}
