// SPDX-License-Identifier: GPL-2.0

//! What `micro-bench` decides without a machine at hand.
//!
//! The bare-metal payload and the host's tools are compiled from this same source, so that what one
//! writes is what the other reads.

#![no_std]
#![forbid(unsafe_code)]

pub mod args;
pub mod fdt;
pub mod its;
pub mod output;
pub mod stats;
pub mod time;
