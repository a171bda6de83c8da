// SPDX-License-Identifier: GPL-2.0

//! why: Only a callback of a device that is open has a handle.
//! against: linux linux_vfio siov_types
//! error: E0451 `vdev`
//! error: E0451 `pins`
//! error: OpenDevice` is private
//! error: Pins` is private

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux_vfio::device::Handle;
use siov_types::Iova;

/// Reads memory of a user.
pub fn read(user: Handle<'_>, data: &mut [u8]) -> Result {
    // misuse {
    let user = Handle {
        vdev: todo!(),
        pins: None,
    };
    // }
    user.read_memory(Iova::new(0), data)
}
