// SPDX-License-Identifier: GPL-2.0

//! Compares the kCFI type identifiers of Rust functions that C code calls with those of the C
//! prototypes.
//!
//! With `CONFIG_CFI` each indirect call checks a number in front of the function, a hash of the
//! function's type, and a function of another type is a trap. C code calls our functions through
//! pointers in its structures, so rustc must find the same number for each of them as clang finds
//! for the prototype there.

pub mod bindings;
pub mod c_side;
pub mod check;
pub mod kbuild;
pub mod llvm;
pub mod mir;
pub mod rust_side;
pub mod slot;
pub mod text;
