// SPDX-License-Identifier: GPL-2.0

//! The data of a VM, from its first zone on.
//!
//! Locks: `kvm->slots_lock`, which a [`List`] has.

use crate::counts::VmCounts;
use crate::sys::debugfs;
use crate::sys::device::new_dev;
use crate::sys::list::{Dev, Element, List};
use crate::sys::module;
use crate::sys::request::Request;
use core::ops::Deref;
use kernel::prelude::*;
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::Opaque;
use linux::bindings;

/// Says that an element of the list is a [`PerVm`] of this module. It is on no bus.
static OPS: bindings::kvm_io_device_ops = bindings::kvm_io_device_ops {
    read: None,
    write: None,
    destructor: None,
};

/// Data of a VM. The list of the VM has a reference to it, and each zone of ours has one.
#[repr(C)]
pub(super) struct PerVm {
    /// Comes first, so that a pointer to one is a pointer to the other.
    dev: Opaque<Dev>,
    counts: VmCounts,
}

impl Deref for PerVm {
    type Target = VmCounts;

    #[inline]
    fn deref(&self) -> &VmCounts {
        &self.counts
    }
}

/// The element of the list that is ours.
fn find<'a>(list: &'a List<'_>) -> Option<Element<'a>> {
    list.iter()
        .find(|element| core::ptr::eq(element.ops(), &raw const OPS))
}

/// The VM's data, if there is any.
pub(super) fn get<'a>(list: &'a List<'_>) -> Option<&'a PerVm> {
    let per_vm = find(list)?.dev().cast();
    // SAFETY: Only `get_or_insert` makes elements with these operations. The list has a reference,
    // and is borrowed.
    Some(unsafe { per_vm.as_ref() })
}

/// The VM's data. A VM that has none gets some, and its file in debugfs.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn get_or_insert(list: &mut List<'_>) -> Result<Arc<PerVm>> {
    if let Some(element) = find(list) {
        // SAFETY: The list has a reference to what `into_raw` made an element of.
        let per_vm = unsafe { ArcBorrow::<PerVm>::from_raw(element.dev().as_ptr().cast()) };
        return Ok(per_vm.into());
    }
    let per_vm = Arc::new(
        PerVm {
            dev: Opaque::new(new_dev(list.vm(), &raw const OPS, Request::NONE)),
            counts: VmCounts::default(),
        },
        GFP_KERNEL_ACCOUNT,
    )?;
    // As long as it is in the list there may be the file, whose functions are in this module.
    module::get();
    let dev = Arc::into_raw(per_vm.clone()).cast_mut().cast();
    // SAFETY: Just made, and the list has a reference until `remove`.
    unsafe { list.push_front(dev) };
    debugfs::create(list);
    Ok(per_vm)
}

/// Drops the VM's data, if there is any; zones of ours that are left keep them.
pub(super) fn remove(list: &mut List<'_>) {
    let Some(dev) = find(list).map(|element| element.dev()) else {
        return;
    };
    // SAFETY: It is in the list.
    unsafe { list.remove(dev) };
    // SAFETY: The reference of the list, made in `get_or_insert`.
    drop(unsafe { Arc::<PerVm>::from_raw(dev.as_ptr().cast()) });
    // SAFETY: For the call in `get_or_insert`. A call that has a `List` keeps the module.
    unsafe { module::put() };
}
