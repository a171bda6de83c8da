// SPDX-License-Identifier: GPL-2.0

//! The same cases in every run: a test that fails here fails everywhere.

use proptest::test_runner::{Config, RngSeed};

/// `cases` cases per property, from a fixed seed, leaving no files behind.
pub(crate) fn cases(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x5105_5105),
        failure_persistence: None,
        ..Config::default()
    }
}
