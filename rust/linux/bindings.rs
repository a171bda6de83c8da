// SPDX-License-Identifier: GPL-2.0

//! What bindgen makes of `rust/bindings/bindings.h`, on top of the kernel crate's own bindings.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::missing_safety_doc,
    clippy::multiple_unsafe_ops_per_block,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    improper_ctypes
)]

pub use kernel::bindings::*;
use kernel::ffi;
use pin_init::MaybeZeroable;

include!(concat!(
    env!("SIOV_OBJ"),
    "/rust/bindings/bindings_generated.rs"
));
