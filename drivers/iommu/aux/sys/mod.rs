// SPDX-License-Identifier: GPL-2.0

//! What rests on the promises of C callers (`include/linux/iommu-aux.h`): a domain stays until it is detached, a
//! handler may be called until it is unregistered. The registry keeps our side of it: what is detached or
//! unregistered is in use no more when the call returns.

mod exports;
mod faults;
mod registry;

pub(crate) use registry::{start, stop};
