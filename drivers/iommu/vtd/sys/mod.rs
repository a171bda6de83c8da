// SPDX-License-Identifier: GPL-2.0

//! What the driver does with C by itself: claiming the registers that firmware names, and calling the chain
//! of fault notifiers.

mod notifier;
mod registers;

pub(crate) use notifier::notify;
pub(crate) use registers::{claim, UnitDescription};
