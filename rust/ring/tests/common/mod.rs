// SPDX-License-Identifier: GPL-2.0

//! What the tests share.

use proptest::test_runner::{Config, RngSeed};
use siov_ring::{Data, Space, Write};

/// `cases` cases per property, from a fixed seed, without files of failed cases.
#[allow(dead_code)]
pub fn cases(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x5105_5105),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A write that carries its number.
#[allow(dead_code)]
pub fn numbered(number: u64) -> Write {
    Write {
        space: if number % 3 == 0 {
            Space::Pio
        } else {
            Space::Mmio
        },
        addr: number * 7,
        data: Data::new(&number.to_ne_bytes()).unwrap(),
    }
}

/// The number of such a write, checked against the rest of it.
#[allow(dead_code)]
pub fn number(write: Write) -> u64 {
    let number = u64::from_ne_bytes(write.data.bytes());
    assert_eq!(write, numbered(number));
    number
}
