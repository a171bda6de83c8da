// SPDX-License-Identifier: GPL-2.0

//! Random calls, compared after each with a naive model and with what hardware would see.
//!
//! The sequence is the same in each run; `PROPTEST_CASES` asks for more of it.

#![forbid(unsafe_code)]

mod common;

use common::memory::{Held, Memory};
use common::model::{Model, Removed};
use common::walker::{Stage, Walker};
use common::{finish, gather, table, G1, G512, K4, LEVELS, M2, SIZES};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use siov_iopgtable::{Error, FirstStage, LeafSize, Levels, PageTable, Prot, SecondStage};
use siov_types::{Iova, IovaRange, PhysAddr};
use std::ops::ControlFlow;

/// Where a range starts and how long it is, before it is fitted into the address space.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Which part of the address space.
    region: u8,
    offset: u64,
    len: u64,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Map {
        place: Place,
        /// Physical minus virtual address.
        shift: u64,
        prot: Prot,
    },
    Unmap {
        place: Place,
    },
    /// Unmaps what is mapped at a place, whatever it is.
    UnmapPage {
        place: Place,
    },
}

#[derive(Clone, Debug)]
struct Scenario {
    levels: Levels,
    max_leaf: LeafSize,
    coherent: bool,
    calls: Vec<Call>,
}

fn pages() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..20u64, 508..516u64].prop_map(|n| n * K4)
}

fn place() -> impl Strategy<Value = Place> {
    let large = prop_oneof![2 => Just(0), 2 => (0..4u64).prop_map(|n| n * M2)];
    let huge = prop_oneof![8 => Just(0), 1 => (0..2u64).prop_map(|n| n * G1)];
    (
        0..4u8,
        (pages(), large.clone(), huge.clone()),
        (pages(), large, huge),
    )
        .prop_map(|(region, (a, b, c), (d, e, f))| Place {
            region,
            offset: a + b + c,
            len: (d + e + f).max(K4),
        })
}

fn prot() -> impl Strategy<Value = Prot> {
    (1..4u64, any::<bool>()).prop_map(|(access, snoop)| {
        let snoop = if snoop { Prot::SNOOP } else { Prot::empty() };
        Prot::from_bits_truncate(access) | snoop
    })
}

fn call() -> impl Strategy<Value = Call> {
    let shift = prop_oneof![
        3 => (0..8u64).prop_map(|n| n * G1),
        2 => (0..8u64).prop_map(|n| n * M2),
        2 => (0..8u64).prop_map(|n| n * K4),
    ];
    prop_oneof![
        5 => (place(), shift, prot()).prop_map(|(place, shift, prot)| Call::Map { place, shift, prot }),
        2 => place().prop_map(|place| Call::Unmap { place }),
        2 => place().prop_map(|place| Call::UnmapPage { place }),
    ]
}

fn scenario(calls: usize) -> impl Strategy<Value = Scenario> {
    (
        proptest::sample::select(&LEVELS[..]),
        proptest::sample::select(&SIZES[..]),
        any::<bool>(),
        proptest::collection::vec(call(), 1..calls),
    )
        .prop_map(|(levels, max_leaf, coherent, calls)| Scenario {
            levels,
            max_leaf,
            coherent,
            calls,
        })
}

fn run(strategy: impl Strategy<Value = Scenario>, test: impl Fn(Scenario)) {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&strategy, |scenario| {
        test(scenario);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A page table with all that watches it.
struct Bench<F: Stage> {
    table: PageTable<F, Memory>,
    memory: Memory,
    walker: Walker,
    model: Model,
    held: Held,
    max_leaf: LeafSize,
    end: u64,
}

impl<F: Stage> Bench<F> {
    fn new(scenario: &Scenario) -> Self {
        let (table, memory) = table::<F>(scenario.levels, scenario.max_leaf, scenario.coherent);
        Self {
            walker: Walker::new(&memory, table.root().raw(), scenario.levels),
            model: Model::new(scenario.levels, scenario.max_leaf),
            held: gather(&memory),
            table,
            memory,
            max_leaf: scenario.max_leaf,
            end: 1 << F::input_width(scenario.levels),
        }
    }

    /// Fits a place into the address space, and keeps runs of small pages short enough for a naive
    /// model.
    fn fit(&self, place: Place, shift: u64) -> (u64, u64) {
        let base = match place.region {
            0 => 0,
            1 => G1 - 2 * M2,
            2 => G512 - 2 * G1,
            _ => self.end - 3 * G1,
        };
        let small = self.max_leaf == LeafSize::Size4K || shift % M2 != 0;
        let len = if small {
            (place.len % G1).max(K4)
        } else {
            place.len
        };
        let start = base + place.offset;
        (start.min(self.end - len), len)
    }

    fn map(&mut self, iova: u64, phys: u64, len: u64, prot: Prot) -> (u64, Result<(), Error>) {
        let (iova, phys) = (Iova::new(iova), PhysAddr::new(phys));
        self.table.map(iova, phys, len, prot, (), &mut self.held)
    }

    fn unmap(&mut self, iova: u64, len: u64) -> Removed {
        let unmapped = self.table.unmap(Iova::new(iova), len, (), &mut self.held);
        Removed {
            bytes: unmapped.bytes,
            touched: unmapped
                .touched
                .map(|range| (range.first().raw(), range.last().raw())),
        }
    }

    fn translation(&self, iova: u64) -> Option<(u64, bool, bool)> {
        let (start, page) = self.model.page(iova)?;
        let write = page.prot.contains(Prot::WRITE);
        // A first stage has no write-only pages.
        let read = page.prot.contains(Prot::READ) || !F::has(Levels::Three);
        Some((page.phys + iova - start, read, write))
    }

    /// What an address translates to, for the hardware, for lookups, and for the model.
    fn check_address(&self, iova: u64) {
        let expected = self.translation(iova);
        let seen = self.walker.translate::<F>(iova);
        assert_eq!(
            seen.map(|t| (t.phys, t.read, t.write)),
            expected,
            "{iova:#x}"
        );
        let phys = self.table.iova_to_phys(Iova::new(iova));
        assert_eq!(phys.map(PhysAddr::raw), expected.map(|e| e.0), "{iova:#x}");
    }

    /// The first and last bytes in and around a range, and some pages inside.
    fn check_range(&self, iova: u64, len: u64) {
        let last = iova + len - 1;
        let inside = (0..64).map(|part| iova + len / 64 * part);
        for address in inside.chain([iova, last, iova.saturating_sub(1), last + 1]) {
            if address < self.end {
                self.check_address(address);
            }
        }
    }

    /// Some pages of the model, the first and the last among them, as an IOTLB might hold them.
    fn cached(&self) -> Vec<(u64, u64, (u64, bool, bool))> {
        let step = self.model.pages.len() / 32 + 1;
        let some = self.model.pages.iter().step_by(step);
        some.chain(self.model.pages.last_key_value())
            .map(|(start, page)| {
                let seen = self.walker.translate::<F>(*start).expect("mapped");
                (*start, page.size, (seen.phys, seen.read, seen.write))
            })
            .collect()
    }

    /// What was cached and not invalidated must still hold for each byte.
    fn check_cached(
        &self,
        cached: &[(u64, u64, (u64, bool, bool))],
        invalidated: Option<(u64, u64)>,
    ) {
        for (start, size, (phys, read, write)) in cached {
            if invalidated.is_some_and(|(first, last)| *start <= last && start + size > first) {
                continue;
            }
            for offset in [0, size / 2, size - 1] {
                let now = self.translation(start + offset);
                assert_eq!(now, Some((phys + offset, *read, *write)), "{start:#x}");
            }
        }
    }

    /// The tables are those that the model expects, all published, none lost.
    fn check_tables(&mut self) {
        let tables = self.walker.tables::<F>().len();
        assert_eq!(tables, self.model.tables.len() + 1);
        assert_eq!(self.memory.live(), tables + self.held.len());
        assert_eq!(self.table.table_pages(), tables as u64);
        self.held.invalidate();
        assert_eq!(self.memory.live(), tables);
    }

    /// The pages are those of the model, one by one.
    fn check_pages(&self) {
        let mut pages = self.model.pages.iter();
        let end: ControlFlow<()> = self.table.for_each_leaf(IovaRange::ALL, |leaf| {
            let (start, page) = pages.next().expect("as many pages as in the model");
            assert_eq!((leaf.iova.raw(), leaf.size.bytes()), (*start, page.size));
            assert_eq!(leaf.phys.raw(), page.phys);
            assert_eq!(
                leaf.prot.contains(Prot::WRITE),
                page.prot.contains(Prot::WRITE)
            );
            ControlFlow::Continue(())
        });
        assert!(end.is_continue() && pages.next().is_none());
    }
}

fn against_the_model<F: Stage>(scenario: Scenario) {
    if !F::has(scenario.levels) {
        return;
    }
    let mut bench = Bench::<F>::new(&scenario);
    for call in scenario.calls {
        let cached = bench.cached();
        match call {
            Call::Map { place, shift, prot } => {
                let (iova, len) = bench.fit(place, shift);
                let phys = iova % G512 + shift;
                let mapped = bench.map(iova, phys, len, prot);
                assert_eq!(mapped, bench.model.map(iova, phys, len, prot), "{call:?}");
                bench.check_range(iova, len);
                bench.check_cached(&cached, None);
            }
            Call::Unmap { place } | Call::UnmapPage { place } => {
                let (mut iova, mut len) = bench.fit(place, 0);
                if let (Call::UnmapPage { .. }, Some((start, page))) =
                    (call, bench.model.page(iova))
                {
                    (iova, len) = (start, page.size);
                }
                let removed = bench.unmap(iova, len);
                assert_eq!(removed, bench.model.unmap(iova, len), "{call:?}");
                bench.check_range(iova, len);
                bench.check_cached(&cached, removed.touched);
            }
        }
        bench.check_tables();
    }
    bench.check_pages();
    finish(bench.table, &bench.memory);
}

#[test]
fn second_stage_does_what_the_model_does() {
    run(scenario(14), against_the_model::<SecondStage>);
}

#[test]
fn first_stage_does_what_the_model_does() {
    run(scenario(14), against_the_model::<FirstStage>);
}

/// Each call may allocate `pages` tables and no more.
fn short_of_memory<F: Stage>(scenario: Scenario, pages: i64) {
    if !F::has(scenario.levels) {
        return;
    }
    let mut bench = Bench::<F>::new(&scenario);
    for call in scenario.calls {
        bench.memory.set_budget(pages);
        let (iova, len) = match call {
            Call::Map { place, shift, prot } => {
                let (iova, len) = bench.fit(place, shift);
                let phys = iova % G512 + shift;
                let (bytes, result) = bench.map(iova, phys, len, prot);
                let (wanted, expected) = bench.model.map(iova, phys, bytes, prot);
                assert_eq!((wanted, expected), (bytes, Ok(())));
                match result {
                    Ok(()) => assert_eq!(bytes, len),
                    Err(Error::NoMemory) => assert!(bytes < len),
                    Err(error) => {
                        assert_eq!(error, Error::Exists);
                        let in_the_way = |at| bench.model.page(at).is_some();
                        let large = scenario.max_leaf.bytes().min(len - bytes);
                        let at = iova + bytes;
                        assert!((0..large / K4).any(|page| in_the_way(at + page * K4)));
                    }
                }
                (iova, len)
            }
            Call::Unmap { place } | Call::UnmapPage { place } => {
                let (iova, len) = bench.fit(place, 0);
                let removed = bench.unmap(iova, len);
                let expected = bench.model.unmap(iova, removed.bytes);
                assert_eq!(removed.bytes, expected.bytes);
                (iova, len)
            }
        };
        bench.check_range(iova, len);
        bench.held.invalidate();
        assert_eq!(
            bench.memory.live(),
            bench.walker.tables::<F>().len(),
            "nothing is lost on the way out"
        );
    }
    finish(bench.table, &bench.memory);
}

#[test]
fn nothing_is_lost_when_memory_is_short() {
    for pages in 0..3 {
        run(scenario(10), |s| short_of_memory::<SecondStage>(s, pages));
        run(scenario(10), |s| short_of_memory::<FirstStage>(s, pages));
    }
}
