// SPDX-License-Identifier: GPL-2.0

//! Instructions without operands.

/// Lists instructions, as functions.
///
/// Whoever lists one says by `unsafe` that it has no effect on registers and flags that Rust uses, nor on the
/// memory and the stack of this program, wherever it is, and argues it in a `SAFETY` comment.
macro_rules! instructions {
    (unsafe { $($(#[$doc:meta])* fn $name:ident() = $text:literal;)* }) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: as whoever lists the instruction argues.
            unsafe { core::arch::asm!($text, options(nostack, preserves_flags)) };
        }
    )*};
}
pub(crate) use instructions;
