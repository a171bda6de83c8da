// SPDX-License-Identifier: GPL-2.0

//! DMAR tables made by hand and at random.

#![forbid(unsafe_code)]

mod build;
mod check;
mod kernel;
mod matching;
mod parse;
#[path = "../../src/proptest_config.rs"]
mod proptest_config;
mod random;
mod real;
mod remarks;
