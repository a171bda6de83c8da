// SPDX-License-Identifier: GPL-2.0

//! The device siov-testdev as a state machine: what its registers do, and how its work queues turn
//! descriptors into requests. `Documentation/siov-testdev.rst` specifies it.
//!
//! [`Device`] knows neither QEMU nor time: a [`Host`] carries its requests, tells the time and
//! calls [`Device::run`] when it asked to be woken. So the whole model is tested on the host,
//! without a guest.

#![forbid(unsafe_code)]

mod adi;
mod atc;
mod crc;
mod device;
mod fault;
mod host;
mod job;
mod queue;
mod raw;
mod register;
mod requester;

pub use device::{Config, Device, Region};
pub use host::{Host, Invalidation, Translation};
