// SPDX-License-Identifier: GPL-2.0

//! Several submitters, interleaved with each other and with the unit at every point where they can
//! be, as random bytes say.
//!
//! Each submitter is a thread, but one runs at a time: it passes the turn on at each [`Point`].

use crate::model::{Item, Model, Outcome, Point, Schedule};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use siov_types::Bdf;
use siov_vtd::queue::{Limits, QueueEvent, QueueSize, TRIES};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

const DEVICES: [Bdf; 3] = [Bdf::new(1, 0), Bdf::new(2, 0), Bdf::new(3, 0)];

thread_local! {
    /// Number of this submitter; those that are none are not scheduled.
    static ME: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
}

struct Turns {
    turn: usize,
    running: Vec<bool>,
    /// What is left of the random bytes. After that, all take turns.
    script: Vec<u8>,
    frozen: Range<u64>,
    points: u64,
    panicked: bool,
}

/// Passes the turn on as the script says.
pub struct Script {
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl Script {
    /// For this many submitters. The unit stands still while the number of points passed is in
    /// `frozen`.
    pub fn new(submitters: usize, script: &[u8], frozen: Range<u64>) -> Self {
        Self {
            turns: Mutex::new(Turns {
                turn: 0,
                running: vec![true; submitters],
                script: script.iter().rev().copied().collect(),
                frozen,
                points: 0,
                panicked: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for the turn of `me`.
    fn wait<'a>(&'a self, me: usize, mut turns: MutexGuard<'a, Turns>) -> MutexGuard<'a, Turns> {
        while turns.turn != me {
            assert!(!turns.panicked, "another submitter has failed");
            turns = self.changed.wait(turns).unwrap();
        }
        turns
    }

    fn start(&self, me: usize) {
        ME.set(Some(me));
        drop(self.wait(me, self.turns.lock().unwrap()));
    }

    fn stop(&self, me: usize) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.running[me] = false;
        turns.panicked |= thread::panicking();
        if let Some(next) = turns.running.iter().position(|running| *running) {
            turns.turn = next;
        }
        self.changed.notify_all();
    }
}

/// Ends the part of a submitter, also when it panics.
struct Part<'a>(&'a Script, usize);

/// Runs `f`, which submits, as submitter number `me`.
pub fn play<R>(script: &Script, me: usize, f: impl FnOnce() -> R) -> R {
    let _part = Part(script, me);
    script.start(me);
    f()
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.0.stop(self.1);
    }
}

impl Schedule for Script {
    const STEPPED: bool = true;

    const LIMITS: Limits = Limits {
        looks: 2,
        delays_per_check: 2,
        // So long that a time-out comes, by all odds.
        delays: 160,
        total: 480,
    };

    fn point(&self, model: &Model<Self>, at: Point) {
        let Some(me) = ME.get() else {
            model.run(false);
            return;
        };
        let mut turns = self.turns.lock().unwrap();
        turns.points += 1;
        assert!(turns.points < 1_000_000, "nothing comes to an end");
        let (choice, fair) = match turns.script.pop() {
            Some(byte) => (byte, false),
            None => (turns.points as u8, true),
        };
        // Half of the time the unit moves, and a time-out is a long time.
        let frozen = turns.frozen.contains(&turns.points);
        if !frozen && (choice % 2 == 0 || fair) {
            let waiting = matches!(at, Point::Relax | Point::Delay);
            let may_time_out = waiting && (fair || choice % 8 == 0);
            drop(turns);
            if at == Point::Written && choice % 8 == 2 {
                // Faster than the submitter looks.
                model.run(false);
            } else {
                model.step(choice / 8, may_time_out);
            }
            turns = self.turns.lock().unwrap();
        }
        let others = turns.running.len();
        let next = if fair {
            // The next one that has not finished.
            let mut after = (1..others).map(|step| (me + step) % others);
            after.find(|other| turns.running[*other]).unwrap_or(me)
        } else {
            (usize::from(choice / 2) + me) % others
        };
        if turns.running[next] && next != me {
            turns.turn = next;
            self.changed.notify_all();
            drop(self.wait(me, turns));
        }
    }
}

/// A case: the ring, what each submitter submits, and what goes wrong.
#[derive(Clone, Debug)]
struct Case {
    shift: u32,
    submitters: Vec<Vec<Vec<Item>>>,
    dead: BTreeSet<Bdf>,
    names_sources: bool,
    waits_for_tail: bool,
    fails_to_fetch_in: Option<u32>,
    /// From when to when, in points, the unit stands still.
    frozen: Option<(u64, u64)>,
    script: Vec<u8>,
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        6 => Just(Item::Iotlb),
        2 => Just(Item::Fence),
        3 => prop::sample::select(&DEVICES[..]).prop_map(Item::DeviceTlb),
        1 => Just(Item::Nonsense),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let submission = prop::collection::vec(item(), 0..7);
    let submitter = prop::collection::vec(submission, 1..4);
    (
        2u32..=4,
        prop::collection::vec(submitter, 1..4),
        prop::collection::btree_set(prop::sample::select(&DEVICES[..]), 0..=2),
        any::<(bool, bool)>(),
        prop::option::weighted(0.2, 1u32..20),
        prop::option::weighted(0.2, (0u64..100, 1u64..1_600)),
        prop::collection::vec(any::<u8>(), 0..600),
    )
        .prop_map(
            |(shift, submitters, dead, unit, fails_to_fetch_in, frozen, script)| Case {
                shift,
                submitters,
                dead,
                names_sources: unit.0,
                waits_for_tail: unit.1,
                fails_to_fetch_in,
                frozen: frozen.map(|(from, len)| (from, from + len)),
                script,
            },
        )
}

/// Runs a case after this many descriptors, which each count and wait as one.
fn run(case: &Case, before: u32) -> (Vec<Vec<Outcome>>, Model<Script>) {
    let frozen = case.frozen.map_or(0..0, |(from, to)| from..to);
    let script = Script::new(case.submitters.len(), &case.script, frozen);
    let model = Model::new(QueueSize::of_model(case.shift), script);
    for _ in 0..before {
        assert_eq!(model.submit(&[]).result, Ok(()));
    }
    {
        let mut unit = model.unit();
        unit.dead = case.dead.clone();
        unit.names_sources = case.names_sources;
        unit.waits_for_tail = case.waits_for_tail;
        unit.fails_to_fetch_in = case.fails_to_fetch_in;
    }
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = case
            .submitters
            .iter()
            .enumerate()
            .map(|(me, submissions)| {
                let model = &model;
                scope.spawn(move || {
                    play(&model.schedule, me, || {
                        submissions
                            .iter()
                            .map(|what| model.submit(what))
                            .collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no submitter fails"))
            .collect()
    });
    (outcomes, model)
}

fn check(case: &Case, before: u32) -> Result<(), TestCaseError> {
    let (outcomes, model) = run(case, before);
    let counters = model.counters();
    for (submissions, outcomes) in case.submitters.iter().zip(&outcomes) {
        for (what, outcome) in submissions.iter().zip(outcomes) {
            // That what was complete was carried out, and that each was told what hit it, is
            // checked in `Model::submit`.
            let errors = outcome.errors();
            prop_assert!(outcome.tries <= TRIES as usize);
            prop_assert!(counters.stalls > 0 || !errors.stalled());
            if what.contains(&Item::Nonsense) {
                prop_assert!(outcome.result.is_err() && !errors.is_complete());
            } else if case.fails_to_fetch_in.is_none() {
                prop_assert!(!errors.iqe());
            }
            for source in errors.ite().iter() {
                match source {
                    Some(source) => prop_assert!(case.dead.contains(&source)),
                    None => prop_assert!(!case.names_sources && !case.dead.is_empty()),
                }
            }
            if case.dead.is_empty() && !errors.iqe() && !errors.stalled() {
                prop_assert!(outcome.result.is_ok() && outcome.tries == 1);
            }
        }
    }
    // Every time-out was told to somebody.
    let told = |source: Option<Bdf>| {
        outcomes
            .iter()
            .flatten()
            .any(|outcome| outcome.errors().ite().iter().any(|told| told == source))
    };
    for event in model.events() {
        if let QueueEvent::Ite { source } = event {
            prop_assert!(told(source));
        }
    }
    prop_assert!(case.frozen.is_some() || counters.stalls == 0);
    Ok(())
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x5105_5105),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(4_000))]
    #[test]
    fn nothing_is_lost(case in case()) {
        check(&case, 0)?;
    }
}

proptest! {
    #![proptest_config(config(100))]
    #[test]
    fn nothing_is_lost_where_positions_wrap(case in case(), left in 0u32..60) {
        check(&case, 16_384 - left)?;
    }
}
