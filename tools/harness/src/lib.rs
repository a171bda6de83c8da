// SPDX-License-Identifier: GPL-2.0

//! Judges what a guest left behind: the output of its commands, which is KTAP, and its kernel's
//! console.
//!
//! `scripts/vm` says how the two logs come about; `scripts/guest/init` writes the lines between the
//! commands that [`guest`] reads.

#![forbid(unsafe_code)]

pub mod bench;
pub mod console;
pub mod guest;
pub mod ktap;
pub mod verdict;
