// SPDX-License-Identifier: GPL-2.0

//! What the queue is for: a page that is unmapped is freed, and from then on no device may reach
//! it, whatever becomes of the invalidations: devices die or are removed, the unit refuses
//! descriptors, does not say who timed out, or stands still for a while.

use crate::model::{Model, Point, Schedule};
use crate::random::{play, Script};
use crate::threads::Random;
use crate::unit::{device_tlb, iotlb, Tag};
use siov_types::Bdf;
use siov_vtd::invalidate::Drain;
use siov_vtd::queue::{Devices, Engine, QueueSize, Recovery, Sources, Submission};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

pub const DEVICES: [Bdf; 3] = [Bdf::new(1, 0), Bdf::new(2, 0), Bdf::new(3, 0)];

/// What the driver knows of the devices.
#[derive(Default)]
struct Known {
    blocked: BTreeSet<Bdf>,
    skipped: BTreeSet<Bdf>,
    /// Those that the PCI core has marked as removed.
    removed: BTreeSet<Bdf>,
    /// Time-outs of nobody knows whom that were put down to those.
    blamed: u32,
}

/// A domain, and the devices that are attached to it.
pub struct Domain<'a, S: Schedule> {
    pub model: &'a Model<S>,
    devices: &'static [Bdf],
    known: Mutex<Known>,
    next_tag: AtomicU64,
}

/// A page that was unmapped and freed.
pub struct Freed {
    /// The unit's clock before its invalidation was submitted.
    time: u64,
    iotlb: Vec<Tag>,
    tlbs: Vec<(Tag, Bdf)>,
    pub result: Result<(), Recovery>,
}

impl<'a, S: Schedule> Domain<'a, S> {
    pub fn new(model: &'a Model<S>, devices: &'static [Bdf]) -> Self {
        Self {
            model,
            devices,
            known: Mutex::default(),
            next_tag: AtomicU64::new(1),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    fn tag(&self) -> Tag {
        self.next_tag.fetch_add(1, Ordering::SeqCst)
    }

    /// The device does not answer any more, and the PCI core knows why.
    pub fn remove(&self, device: Bdf) {
        self.model.unit().dead.insert(device);
        self.known().removed.insert(device);
    }

    /// Devices that are blocked.
    pub fn blocked(&self) -> Vec<Bdf> {
        self.known().blocked.iter().copied().collect()
    }

    /// Devices whose TLB is not invalidated any more.
    pub fn skipped(&self) -> Vec<Bdf> {
        self.known().skipped.iter().copied().collect()
    }

    /// Invalidates a page that was unmapped, as the driver does.
    pub fn unmap(&self) -> Freed {
        let time = self.model.unit().clock;
        let (mut iotlbs, mut tlbs) = (Vec::new(), Vec::new());
        let fill = |queue: &mut Submission<'_, Model<S>>| {
            let tag = self.tag();
            iotlbs.push(tag);
            queue.push(iotlb(tag));
            queue.fence();
            for &device in self.devices {
                let is_skipped = {
                    let known = self.known();
                    known.skipped.contains(&device) || known.removed.contains(&device)
                };
                if !is_skipped {
                    let tag = self.tag();
                    tlbs.push((tag, device));
                    queue.push(device_tlb(tag, device));
                }
            }
        };
        let result = Engine::new(self.model).invalidate(self, fill);
        Freed {
            time,
            iotlb: iotlbs,
            tlbs,
            result,
        }
    }

    /// Whether a device may still reach the page.
    pub fn reaches(&self, page: &Freed) -> bool {
        let unit = self.model.unit();
        let done = |tag: &Tag| unit.done.contains(tag);
        let iotlb = page.iotlb.iter().any(done) || unit.iotlb_dropped >= page.time;
        let tlb = |device: &Bdf| {
            let dropped = unit.tlb_dropped.get(device);
            let mut own = page.tlbs.iter().filter(|(_, of)| of == device);
            own.any(|(tag, _)| done(tag))
                || dropped.is_some_and(|time| *time >= page.time)
                || unit.blocked.contains(device)
                || self.known().removed.contains(device)
        };
        !(iotlb && self.devices.iter().all(tlb))
    }
}

impl<S: Schedule> Devices for Domain<'_, S> {
    fn block(&self, sources: &Sources) -> bool {
        let is_removed = |device: &Bdf| self.known().removed.contains(device);
        let unnamed = sources.iter().any(|source| source.is_none());
        let mut removed = unnamed && self.devices.iter().any(is_removed);
        if removed {
            let known = &mut *self.known();
            known.blamed += 1;
            removed = known.blamed <= siov_vtd::queue::MOST_BLAMED;
        }
        let mut failure = false;
        for &device in self.devices {
            let hit = if removed {
                is_removed(&device) || sources.named().any(|named| named == device)
            } else {
                sources.may_contain(device)
            };
            if hit {
                self.model.schedule.point(self.model, Point::Register);
                self.model.unit().blocked_in_memory.insert(device);
                self.known().blocked.insert(device);
                failure |= !is_removed(&device);
            }
        }
        failure
    }

    fn skip_blocked(&self) {
        self.model.schedule.point(self.model, Point::Register);
        let known = &mut *self.known();
        known.skipped.extend(&known.blocked);
    }

    fn has_tlb(&self, source: Bdf) -> bool {
        let known = self.known();
        !known.blocked.contains(&source) && !known.removed.contains(&source)
    }

    fn drain(&self) -> Drain {
        Drain::empty()
    }
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// Devices die.
    Deaths,
    /// Devices are removed.
    Removals,
    /// The unit refuses device-TLB invalidations.
    Refusals,
    /// The unit stands still for a while, and devices die.
    Stall,
    /// All of it.
    All,
}

#[derive(Debug, Default)]
struct Tally {
    unmaps: usize,
    /// Freed while a device reached them, and nothing was said about it.
    lost: usize,
    /// The same, with a queue that was known to stand still.
    announced: usize,
    /// Reached when the queue had long moved again.
    for_good: usize,
    /// Devices that were blocked although they answered.
    blocked: usize,
}

const SUBMITTERS: usize = 4;
const UNMAPS: usize = 5;

fn run(trouble: Trouble, seed: u64, tally: &mut Tally) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let script: Vec<u8> = (0..random.next(800))
        .map(|_| random.next(256) as u8)
        .collect();
    let is = |one| trouble == one || trouble == Trouble::All;
    let from = random.next(300);
    let stall = if is(Trouble::Stall) {
        from..from + random.next(4_000)
    } else {
        0..0
    };
    let model = Model::new(
        QueueSize::of_model(4 + random.next(2) as u32),
        Script::new(SUBMITTERS, &script, stall),
    );
    let domain = Domain::new(&model, &DEVICES);
    {
        let unit = &mut *model.unit();
        unit.names_sources = random.next(3) != 0;
        unit.waits_for_tail = random.next(3) == 0;
        if is(Trouble::Deaths) || is(Trouble::Stall) {
            for _ in 0..random.next(3) {
                unit.dead.insert(DEVICES[random.next(3) as usize]);
            }
        }
        unit.refuses_device_tlbs = is(Trouble::Refusals) && random.next(2) == 0;
        if is(Trouble::Refusals) {
            unit.fails_to_fetch_in = Some(random.next(30) as u32 + 1);
        }
    }
    let removed = is(Trouble::Removals).then(|| DEVICES[random.next(3) as usize]);
    let when = random.next(UNMAPS as u64) as usize;
    let freed: Vec<_> = thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|me| {
                let (model, domain) = (&model, &domain);
                scope.spawn(move || {
                    play(&model.schedule, me, || {
                        let unmap = |number| {
                            if let (0, Some(device), true) = (me, removed, number == when) {
                                domain.remove(device);
                            }
                            let page = domain.unmap();
                            let reached = domain.reaches(&page);
                            (page, reached)
                        };
                        (0..UNMAPS).map(unmap).collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        let joined = submitters.into_iter().map(|thread| thread.join());
        joined
            .flat_map(|pages| pages.expect("no submitter fails"))
            .collect()
    });
    for (page, reached) in &freed {
        let failed = matches!(page.result, Err(recovery) if recovery.failed.is_some());
        tally.unmaps += 1;
        tally.lost += usize::from(*reached && !failed);
        tally.announced += usize::from(*reached && failed);
        assert!(
            page.result.is_ok() || trouble != Trouble::Removals || !model.unit().names_sources,
            "a removal is no failure: {:?}",
            page.result
        );
    }
    // The unit comes to what is left, from error to error, and somebody looks.
    const LOOKS: usize = 100;
    let recovered = (0..LOOKS).any(|_| {
        model.run(true);
        domain.unmap().result.is_ok()
    });
    assert!(recovered, "the queue stays broken: {:?}", model.unit());
    for (page, _) in &freed {
        tally.for_good += usize::from(domain.reaches(page));
    }
    let answers = |device: &Bdf| !model.unit().dead.contains(device);
    tally.blocked += domain.blocked().iter().filter(|d| answers(d)).count();
    if trouble == Trouble::Removals {
        let removed: Vec<_> = removed.into_iter().collect();
        let blocked = domain.blocked();
        assert!(
            blocked.iter().all(|device| removed.contains(device)),
            "{blocked:?} are blocked, {removed:?} was removed"
        );
    }
}

fn no_page_is_reached(trouble: Trouble) -> Tally {
    let mut tally = Tally::default();
    for seed in 1..=300 {
        run(trouble, seed, &mut tally);
    }
    println!("{trouble:?}: {tally:?}");
    assert_eq!(
        (tally.lost, tally.for_good),
        (0, 0),
        "{trouble:?}: {tally:?}"
    );
    tally
}

#[test]
fn devices_die() {
    let tally = no_page_is_reached(Trouble::Deaths);
    assert_eq!(tally.announced, 0);
}

#[test]
fn devices_are_removed() {
    let tally = no_page_is_reached(Trouble::Removals);
    assert_eq!((tally.announced, tally.blocked), (0, 0));
}

#[test]
fn the_unit_refuses_descriptors() {
    let tally = no_page_is_reached(Trouble::Refusals);
    assert_eq!(tally.announced, 0);
}

#[test]
fn the_unit_stands_still() {
    let tally = no_page_is_reached(Trouble::Stall);
    assert!(tally.announced > 0, "nothing was lost to begin with");
}

#[test]
fn all_at_once() {
    no_page_is_reached(Trouble::All);
}
