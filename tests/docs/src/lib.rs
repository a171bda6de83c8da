// SPDX-License-Identifier: GPL-2.0

//! Compares the documentation with the sources, and the sources with what they say of themselves.
//!
//! - [`log`]: log lines that documents quote are those that the modules print, and each error and
//!   warning of a module is explained;
//! - [`links`]: relative links, `:doc:` references and paths of the repository lead somewhere;
//! - [`example`]: the worked examples of `contributing.rst` fit the files that they change;
//! - [`unsafe_code`]: kernel code is unsafe only where `rust.rst` says so.
//!
//! `tests/` runs them on the repository.

pub mod example;
pub mod links;
pub mod log;
pub mod message;
pub mod pattern;
pub mod rst;
pub mod tree;
pub mod unsafe_code;
