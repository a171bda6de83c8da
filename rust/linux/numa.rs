// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes.
//!
//! C header: [`include/linux/numa.h`](srctree/include/linux/numa.h)

use crate::bindings;
use crate::object::Object;
use kernel::device::Device;

/// A node that the machine has, or none in particular. The kernel uses the number as an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node(i32);

impl Node {
    /// `NUMA_NO_NODE`: any node.
    pub const ANY: Self = Self(bindings::NUMA_NO_NODE);

    /// The node that `dev` is near to.
    pub fn of(dev: &Device) -> Self {
        // SAFETY: The device is valid.
        Self(unsafe { bindings::siov_helper_dev_to_node(dev.as_raw()) })
    }

    /// The number, for C functions.
    pub(crate) fn raw(self) -> i32 {
        self.0
    }
}
