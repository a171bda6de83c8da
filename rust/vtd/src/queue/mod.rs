// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue (VT-d spec, 6.5.2).
//!
//! A submission is written to the ring as one run of descriptors that a wait descriptor ends. What
//! the wait writes is the *position* of the ring's tail, a number that counts descriptors and wraps
//! at 2^32: since waits complete in order, one word says how far the unit has come, and with that
//! for every submitter whether its own run is done, and how many slots are free. There is no state
//! per slot and nothing to reclaim.
//!
//! Errors are events in a log, which each name the positions that they hit: an invalidation queue
//! error (IQE) the descriptor that was refused, a time-out (ITE) all that was fetched and had not
//! been reported, and what else was to invalidate the same TLB, a stall all that had not been
//! reported. Every submitter that sees their number change looks its own run up there. So it does
//! not matter which CPU finds an error first.
//!
//! What was lost for good is made up for before its caller goes on, or, when the queue stands
//! still, by the one who finds that it moves again: all that the unit has cached is invalidated,
//! and the TLBs of devices whose invalidation was lost, or else these devices are blocked.
//!
//! - [`slot`](Slot) and [`record`](Stop): what registers hold.
//! - [`platform`](Platform): what the algorithm needs of its surroundings.
//! - [`ring`](Ring): what the ring's lock protects.
//! - [`engine`](Engine): submitting and waiting.
//! - [`recovery`](Devices): what follows when invalidations are lost.

mod engine;
mod errors;
mod log;
mod lost;
mod patience;
mod platform;
mod record;
mod recovery;
mod ring;
mod slot;

pub use engine::{Engine, Submission, TRIES};
pub use errors::{QueueErrors, Sources};
pub use patience::{Limits, CALL_MS, DELAY_US, STALL_MS};
pub use platform::{Memory, Platform, QueueEvent, Registers};
pub use record::{QueueErrorReason, QueueErrorRecord, Stop};
pub use recovery::{Devices, Recovery, MOST_BLAMED};
pub use ring::{Counters, Ring, State};
pub use slot::{QueueSize, Slot};
