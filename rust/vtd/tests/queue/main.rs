// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue against a model of the hardware: directed cases, random interleavings of
//! several submitters, and threads that run free.

#![forbid(unsafe_code)]

mod directed;
mod gated;
mod keep;
mod model;
mod pages;
mod random;
mod removal;
mod threads;
mod unit;
