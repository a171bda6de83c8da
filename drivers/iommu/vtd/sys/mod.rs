// SPDX-License-Identifier: GPL-2.0

//! What the driver does with C by itself: claiming the registers that firmware names, calling the
//! chain of fault notifiers, and giving devices back that have drivers; and what it promises.

mod isolation;
mod notifier;
mod registers;
mod registration;

pub(crate) use notifier::notify;
pub(crate) use registers::{claim, UnitDescription};
pub(crate) use registration::UnitRegistration;
