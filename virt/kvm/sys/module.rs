// SPDX-License-Identifier: GPL-2.0

//! The module that this code is in: kvm.ko, or a live patch.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)
//!
//! Locks: none.
//!
//! # The last reference
//!
//! Code that drops the last reference to its own module has yet to return, while the module may be
//! unloaded. This is what keeps the code until then:
//!
//! - kvm.ko: KVM's own references. Whatever calls us belongs to kvm.ko itself, on which the vendor
//!   module depends, and a VM's files keep that.
//! - The live patch, in its replaced functions and in `siov_coalesced_io_retire()`: livepatch keeps
//!   a reference until no task has one of these functions on its stack, and `post_unpatch` has
//!   returned.
//! - The live patch, in the destructor of a zone, which KVM's own functions call after it has been
//!   disabled: there the reference is dropped as the last thing, and the task does not sleep from
//!   then on until it has returned to kvm.ko. `livepatch_exit()` waits for all such tasks by
//!   `synchronize_rcu_tasks()`, before the module's memory is freed.

use linux::bindings;

/// Takes a reference to the module, which is not unloaded until [`put`] has been called as often.
pub(super) fn get() {
    let module = &raw mut bindings::__this_module;
    // SAFETY: The module is loaded, as this code runs.
    unsafe { bindings::__module_get(module) };
}

/// # Safety
///
/// For a call of [`get`], once. Until this code has returned to a caller outside of the module,
/// something else keeps that, as the documentation of this file says.
pub(super) unsafe fn put() {
    let module = &raw mut bindings::__this_module;
    // SAFETY: The reference of `get`; as required of us.
    unsafe { bindings::module_put(module) };
}
