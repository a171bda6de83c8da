// SPDX-License-Identifier: GPL-2.0

//! The module's parameters (`drivers/vfio/type1/params.c`), read anew at each use, as they may
//! change.

// SAFETY: The declarations match `params.h`, and the functions have no requirements.
unsafe extern "C" {
    safe fn siov_type1_allow_unsafe_interrupts() -> bool;
    safe fn siov_type1_disable_hugepages() -> bool;
    safe fn siov_type1_dma_entry_limit() -> u32;
}

/// `allow_unsafe_interrupts`: devices whose interrupts are not isolated may be used.
pub(crate) fn allow_unsafe_interrupts() -> bool {
    siov_type1_allow_unsafe_interrupts()
}

/// `disable_hugepages`: every page is mapped on its own.
pub(crate) fn disable_hugepages() -> bool {
    siov_type1_disable_hugepages()
}

/// `dma_entry_limit`: mappings that a container may have, as of when it is opened.
pub(crate) fn dma_entry_limit() -> u32 {
    siov_type1_dma_entry_limit()
}
