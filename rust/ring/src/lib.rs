// SPDX-License-Identifier: GPL-2.0

//! Coalesced MMIO and PIO of KVM: which writes of a guest a [`Zone`] takes, and the [`Ring`] in
//! which they wait for user space.
//!
//! The kernel's side and user space's side are both here, so each is tested against the other. The
//! ABI is that of `include/uapi/linux/kvm.h` and `Documentation/virt/kvm/api.rst`, section "4.116
//! KVM_(UN)REGISTER_COALESCED_MMIO".
//!
//! # Who may call what at the same time
//!
//! One producer at a time ([`Ring::push`]; KVM holds `ring_lock`) and one consumer at a time
//! ([`Ring::pop`]; user space sees to it). The two need no lock between them: the producer alone
//! stores `last`, the consumer alone stores `first`.
//!
//! # Trust
//!
//! User space maps the page and may store anything at any time. Every field is an atomic, so that
//! is no data race. [`Ring::push`] uses two fields of the page: `last`, which it loads once and
//! checks before it is an index, and `first`, which is only compared. It reads nothing of an entry.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

/// Rust's atomics, of which a load or a store is a plain instruction, as `READ_ONCE()` and
/// `WRITE_ONCE()` are: the crate runs on the host as well, without the kernel's.
#[cfg(not(loom))]
mod atomic {
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}
#[cfg(loom)]
#[path = "../../loom/atomic.rs"]
mod atomic;
mod count;
mod ring;
mod write;
mod zone;

pub use count::{Count, Peak};
pub use ring::{Entry, Refusal, Ring};
pub use write::{Data, Space, Write};
pub use zone::Zone;
