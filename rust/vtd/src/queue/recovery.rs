// SPDX-License-Identifier: GPL-2.0

//! What follows when invalidations are lost: nothing that was to be invalidated may stay of use to
//! a device.

use core::cell::Cell;

use super::engine::{Engine, Submission, Written};
use super::lost::Batch;
use super::patience::Patience;
use super::platform::Platform;
use super::{QueueErrors, Sources};
use crate::atomic::Ordering;
use crate::invalidate::{Descriptor, Drain};
use siov_types::Bdf;

/// How many time-outs of functions that the unit does not name are put down to those that have been
/// removed, before any may have been it: a removed one answers nothing that was under way, but that
/// comes to an end, and it is not listed for long.
pub const MOST_BLAMED: u32 = 16;

/// The functions behind the unit, and what the unit knows of them. Called without the ring's lock,
/// with interrupts off.
pub trait Devices {
    /// Has the context entries, in memory, block translated requests of functions that timed out.
    /// Returns whether that is a failure: it is none of those that have been removed.
    ///
    /// Where the unit does not say which function timed out, it was one that has been removed if
    /// there is one, up to [`MOST_BLAMED`] times: one that is there will be hit again. Otherwise it
    /// may be any.
    fn block(&self, sources: &Sources) -> bool;

    /// From now on, the TLBs of all functions that are blocked need not be invalidated any more.
    fn skip_blocked(&self);

    /// Whether a function has a TLB that can be of use to it: it is there, and not blocked.
    fn has_tlb(&self, source: Bdf) -> bool;

    /// What IOTLB invalidations can wait for.
    fn drain(&self) -> Drain;
}

/// What was done about invalidations that were lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// What hit the invalidations; nothing when others were hit.
    pub errors: QueueErrors,
    /// What hit those that were to make up for it: all that was lost may be in use until the queue
    /// moves again. The one who finds that makes up for it.
    pub failed: Option<QueueErrors>,
}

impl<'a, P: Platform> Engine<'a, P> {
    /// Carries out the invalidations that `fill` adds: see [`Self::submit`]. When some are lost,
    /// all that the unit has cached is invalidated instead, with the TLBs of devices that it was
    /// about. Devices whose TLB cannot be invalidated are blocked.
    ///
    /// May be called in any context. Waits for [`CALL_MS`](super::CALL_MS) at most, and not at all
    /// while the queue stands still after another call has waited.
    ///
    /// # Errors
    ///
    /// What went wrong, for the log.
    #[inline]
    pub fn invalidate(
        self,
        devices: &impl Devices,
        mut fill: impl FnMut(&mut Submission<'a, P>),
    ) -> Result<(), Recovery> {
        let written = self.write(&mut fill, 0);
        // A TLB need not have been invalidated because its device is blocked: then the unit must
        // know of that, too.
        if self.is_done(&written) && self.state().is_settled() {
            return Ok(());
        }
        self.recover(written, &mut fill, devices)
    }

    #[cold]
    fn recover(
        self,
        written: Written,
        fill: &mut impl FnMut(&mut Submission<'a, P>),
        devices: &dyn Devices,
    ) -> Result<(), Recovery> {
        let (_, passed) = written;
        let mut patience = Patience::new(passed);
        let block = &mut |sources: &Sources| self.block(devices, sources);
        let result = self.finish(written, &mut patience, fill, block);
        if result.is_ok() && self.state().is_settled() {
            return Ok(());
        }
        let errors = result.err().unwrap_or_default();
        if result.is_err() && !errors.is_complete() {
            let (no_room, stalled) = self.lose(fill);
            if !no_room.is_empty() {
                self.block(devices, &no_room);
            }
            // The one who finds that it moves finds what was lost.
            if errors.stalled() && !errors.has_resumed() && stalled {
                let failed = Some(errors);
                return Err(Recovery { errors, failed });
            }
        }
        let failed = self.invalidate_all(devices, &mut patience).err();
        if errors.is_empty() && failed.is_none() {
            return Ok(());
        }
        Err(Recovery { errors, failed })
    }

    /// Blocks functions that timed out. Returns whether that is a failure.
    fn block(self, devices: &dyn Devices, sources: &Sources) -> bool {
        let failure = devices.block(sources);
        // In this order: one who sees that a TLB is not invalidated any more sees that the unit
        // has to be informed, and one who informs it does so with the entries in memory.
        {
            let mut ring = self.0.lock();
            ring.blocks = ring.blocks.checked_add(1).unwrap_or(1);
            let unsettled = &self.state().unsettled;
            unsettled.store(ring.blocks, Ordering::Release);
        }
        devices.skip_blocked();
        failure
    }

    /// Invalidates all that the unit has cached, and the TLBs whose invalidation was lost.
    ///
    /// Again, as long as others lose invalidations or block functions meanwhile, or if the queue
    /// had stalled and moves again.
    fn invalidate_all(
        self,
        devices: &dyn Devices,
        patience: &mut Patience<P>,
    ) -> Result<(), QueueErrors> {
        // Each round but the last has found another error: there are not as many in a row.
        const ROUNDS: usize = 32;
        let mut result = Ok(());
        // All that was lost so far: what was lost while the queue stood still is for the one who
        // finds that it moves.
        let mut last = self.0.lock().lost.losses();
        for _ in 0..ROUNDS {
            let (batch, blocks) = {
                let ring = self.0.lock();
                let blocks = self.state().unsettled.load(Ordering::Relaxed);
                (ring.lost.batch(last), blocks)
            };
            // Others need not be invalidated, as soon as the unit knows that they are blocked.
            let in_use = Cell::new(batch);
            let keep_those_in_use = || {
                in_use.set(in_use.get().map(|tlb| {
                    tlb.filter(|tlb| tlb.source().is_some_and(|source| devices.has_tlb(source)))
                }));
            };
            keep_those_in_use();
            let mut fill = |submission: &mut Submission<'a, P>| {
                submission.push(Descriptor::context_cache_global());
                submission.fence();
                submission.push(Descriptor::pasid_cache_global());
                submission.fence();
                submission.push(Descriptor::iotlb_global(devices.drain()));
                submission.fence();
                for tlb in in_use.get().iter().flatten() {
                    submission.push(tlb.invalidation());
                }
                // There are devices that take two (erratum of QuickAssist); more do no harm.
                submission.fence();
                for tlb in in_use.get().iter().flatten() {
                    submission.push(tlb.invalidation());
                }
            };
            let mut block = |sources: &Sources| {
                let failure = self.block(devices, sources);
                keep_those_in_use();
                failure
            };
            let written = self.write(&mut fill, patience.passed());
            let (_, passed) = written;
            *patience = Patience::new(passed);
            result = self.finish(written, patience, &mut fill, &mut block);
            match result {
                Err(errors) if errors.has_resumed() => last = self.0.lock().lost.losses(),
                Err(errors) if errors.stalled() => return result,
                Err(errors) if !errors.is_complete() => {
                    if errors.iqe() && in_use.get() == Batch::default() {
                        return result;
                    }
                    self.block_all(devices, &in_use.get());
                }
                _ => {
                    if self.settle(blocks, &batch, last) {
                        return Ok(());
                    }
                }
            }
        }
        // There is no end to it.
        loop {
            let batch = self.0.lock().lost.batch(last);
            if batch == Batch::default() {
                return result;
            }
            self.block_all(devices, &batch);
            self.0.lock().lost.remove(&batch);
        }
    }

    /// The unit has no context entry cached that is older than block number `blocks`, and `batch`
    /// was invalidated or need not be. Returns whether nothing is left to be done about what was
    /// lost up to loss number `last`.
    fn settle(self, blocks: u32, batch: &Batch, last: u32) -> bool {
        let mut ring = self.0.lock();
        ring.lost.remove(batch);
        let unsettled = &self.state().unsettled;
        if unsettled.load(Ordering::Relaxed) == blocks {
            unsettled.store(0, Ordering::Relaxed);
        }
        self.state().is_settled() && ring.lost.is_empty(last)
    }

    fn block_all(self, devices: &dyn Devices, batch: &Batch) {
        let sources = batch.iter().flatten().filter_map(|tlb| tlb.source());
        for source in sources {
            let mut one = Sources::default();
            one.insert(Some(source));
            self.block(devices, &one);
        }
    }
}
