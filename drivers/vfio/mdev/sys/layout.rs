// SPDX-License-Identifier: GPL-2.0

//! The layout of what parent drivers and we both touch, as the C compiler sees it.

use core::mem::{offset_of, size_of};
use linux::bindings;
use static_assertions::const_assert;

macro_rules! same_layout {
    ($($c:ident == $rust:expr,)*) => {
        $(const_assert!(bindings::$c as usize == $rust);)*
    };
}

same_layout! {
    siov_mdev_layout_SIOV_MDEV_DEVICE_SIZE == size_of::<bindings::mdev_device>(),
    siov_mdev_layout_SIOV_MDEV_DEVICE_TYPE == offset_of!(bindings::mdev_device, type_),
    siov_mdev_layout_SIOV_MDEV_DEVICE_ACTIVE == offset_of!(bindings::mdev_device, active),
    siov_mdev_layout_SIOV_MDEV_TYPE_SIZE == size_of::<bindings::mdev_type>(),
    siov_mdev_layout_SIOV_MDEV_TYPE_KOBJ == offset_of!(bindings::mdev_type, kobj),
    siov_mdev_layout_SIOV_MDEV_PARENT_SIZE == size_of::<bindings::mdev_parent>(),
    siov_mdev_layout_SIOV_MDEV_PARENT_INSTANCES ==
        offset_of!(bindings::mdev_parent, available_instances),
    siov_mdev_layout_SIOV_MDEV_DRIVER_SIZE == size_of::<bindings::mdev_driver>(),
    siov_mdev_layout_SIOV_MDEV_DRIVER_DRIVER == offset_of!(bindings::mdev_driver, driver),
}

// A `struct mdev_device` is found from its `struct device`, and ours from either.
const_assert!(offset_of!(bindings::mdev_device, dev) == 0);
