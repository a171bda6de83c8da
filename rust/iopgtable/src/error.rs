// SPDX-License-Identifier: GPL-2.0

//! What can go wrong.

/// Why a page table could not be made, or a mapping not entered. Each names the errno that the
/// kernel's generic page tables return in the same situation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The format has no tables with this number of levels (`EOPNOTSUPP`).
    Levels,
    /// More input bits than the levels translate, more output bits than an entry holds, or less
    /// than a page of either (`EINVAL`).
    Width,
    /// A length of zero (`EINVAL`).
    Empty,
    /// Neither readable nor writable (`EINVAL`).
    Prot,
    /// An address or the length is no multiple of 4 KiB (`ENXIO`).
    Misaligned,
    /// The range does not end within the input width (`ERANGE`).
    InputRange,
    /// The physical range does not end within the output width (`ERANGE`).
    OutputRange,
    /// Something is mapped there already (`EADDRINUSE`).
    Exists,
    /// No memory for a table (`ENOMEM`).
    NoMemory,
    /// The memory handed out a table that the hardware cannot address: not on a 4 KiB boundary, or
    /// outside of the output width (`ENXIO`).
    TableAddress,
}
