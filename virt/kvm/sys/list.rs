// SPDX-License-Identifier: GPL-2.0

//! A VM of KVM, and the list of what it coalesces.

use crate::sys::zone::Request;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::types::Opaque;
use linux::abi::Object;
use linux::bindings;

/// `struct kvm`. References come from KVM, for calls during which the VM exists.
#[repr(transparent)]
pub(crate) struct RawVm(Opaque<bindings::kvm>);

// SAFETY: Transparent, and made by KVM.
unsafe impl Object<bindings::kvm> for RawVm {}

/// The C functions called here and in the modules beside.
pub(crate) mod c {
    use super::{c_void, RawVm};
    use linux::bindings;

    // SAFETY: These want a VM, and return what one of its fields holds, or where it is.
    linux::c_functions!(unsafe {
        pub(crate) fn siov_helper_kvm_ring(kvm: &RawVm) -> *mut c_void;
        pub(crate) fn siov_helper_kvm_ring_lock(kvm: &RawVm) -> *mut bindings::spinlock_t;
        pub(crate) fn siov_helper_kvm_slots_lock(kvm: &RawVm) -> *mut bindings::mutex;
        pub(crate) fn siov_helper_kvm_debugfs(kvm: &RawVm) -> *mut bindings::dentry;
    });
}

/// `struct kvm_coalesced_mmio_dev`, with which every element of the list begins.
pub(crate) type Dev = bindings::kvm_coalesced_mmio_dev;

/// The list `kvm->coalesced_zones`, while nobody else uses it.
///
/// # Invariants
///
/// `slots_lock` is held, or nobody else uses the VM. The VM is initialised, so there is a list.
pub(crate) struct List<'a>(&'a RawVm);

impl<'a> List<'a> {
    /// # Safety
    ///
    /// The VM is initialised, and for `'a` `slots_lock` is held, or nobody else uses the VM.
    pub(crate) unsafe fn new(vm: &'a RawVm) -> Self {
        // INVARIANT: As required of us.
        Self(vm)
    }

    pub(crate) fn vm(&self) -> &'a RawVm {
        self.0
    }

    pub(crate) fn first(&self) -> Option<NonNull<Dev>> {
        self.behind(core::ptr::null_mut())
    }

    /// The next one. `dev` must still be in the list, which private callers see to.
    pub(crate) fn after(&self, dev: NonNull<Dev>) -> Option<NonNull<Dev>> {
        self.behind(dev.as_ptr())
    }

    fn behind(&self, dev: *mut Dev) -> Option<NonNull<Dev>> {
        // SAFETY: By the type invariants nobody changes the list; `dev` is null or an element.
        NonNull::new(unsafe { bindings::siov_helper_kvm_next_zone(self.0.as_raw(), dev) })
    }

    /// What an element was registered with, and its operations.
    pub(crate) fn look_at(
        &self,
        dev: NonNull<Dev>,
    ) -> (Request, *const bindings::kvm_io_device_ops) {
        // SAFETY: Elements are valid while they are in the list, and nobody changes these fields.
        let dev = unsafe { dev.as_ref() };
        (Request::from_raw(&dev.zone), dev.dev.ops)
    }

    /// Takes the element out of the list.
    ///
    /// # Safety
    ///
    /// It is in the list.
    pub(crate) unsafe fn remove(&self, dev: NonNull<Dev>) {
        // SAFETY: As required of us; nobody else uses the list.
        unsafe { bindings::siov_helper_kvm_remove_zone(dev.as_ptr()) };
    }
}
