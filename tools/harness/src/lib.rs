// SPDX-License-Identifier: GPL-2.0

//! Runs guests and judges them: what scripts/test, bench, vm and demo do once the shell has set up.
//!
//! A scenario file ([`scenario`]) describes guests ([`guest`]). A [`suite`] is one of them, run and
//! judged: the output of its commands ([`session`], [`ktap`]) and its kernel's console
//! ([`console`]) give a [`verdict`], or [`figures`]. [`command`] has the commands, [`host`] the
//! checks that need no guest.

#![forbid(unsafe_code)]

pub mod build;
pub mod command;
pub mod console;
pub mod context;
pub mod exit;
pub mod figures;
pub mod guest;
pub mod host;
pub mod jobs;
pub mod ktap;
pub mod process;
pub mod row;
pub mod scenario;
pub mod session;
pub mod setup;
pub mod suite;
pub mod terminal;
pub mod verdict;
