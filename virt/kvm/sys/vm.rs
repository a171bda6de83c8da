// SPDX-License-Identifier: GPL-2.0

//! A VM, as the calls of KVM promise it.
//!
//! C header: [`include/linux/kvm_host.h`](srctree/include/linux/kvm_host.h)
//!
//! Locks: [`Vm::lock_zones`] takes `kvm->slots_lock`.

use crate::sys::list::List;
use crate::sys::zones::Zones;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Lock;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::object::Object;

/// `struct kvm`, in whatever state.
#[repr(transparent)]
pub(super) struct RawVm(Opaque<bindings::kvm>);

// SAFETY: A transparent `Opaque`.
unsafe impl Object<bindings::kvm> for RawVm {}

/// A VM that is being made: nothing else refers to it yet, and [`NewVm::init`] has not been called
/// for it.
pub(crate) struct NewVm<'call>(&'call RawVm);

impl<'call> FromC<'call, *mut bindings::kvm> for NewVm<'call> {
    unsafe fn from_c(kvm: *mut bindings::kvm, call: &'call Call) -> Self {
        // SAFETY: It exists, as required of us.
        Self(unsafe { FromC::from_c(kvm, call) })
    }
}

impl NewVm<'_> {
    /// Gives the VM an empty ring and an empty list of zones.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn init(self) -> Result {
        // SAFETY: This is a call of KVM that may sleep.
        let page = unsafe { bindings::siov_helper_kvm_alloc_ring() };
        if page.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: Nothing else uses the VM, and the page is ours to give.
        unsafe { bindings::siov_helper_kvm_set_ring(self.0.as_raw(), page) };
        Ok(())
    }
}

/// A VM that is initialised: `kvm_coalesced_mmio_init()`, ours or C's, has succeeded for it, and
/// `kvm_coalesced_mmio_free()` is not called, or does not return, before this call ends. The call
/// may sleep and does not hold `slots_lock`, this is the only value that it makes of the VM, and
/// something else than that VM keeps the module until it has ended.
pub(crate) struct Vm<'call>(&'call RawVm);

impl<'call> FromC<'call, *mut bindings::kvm> for Vm<'call> {
    unsafe fn from_c(kvm: *mut bindings::kvm, call: &'call Call) -> Self {
        // SAFETY: It exists, as required of us.
        Self(unsafe { FromC::from_c(kvm, call) })
    }
}

impl Vm<'_> {
    pub(super) fn raw(&self) -> &RawVm {
        self.0
    }

    /// Takes `slots_lock`, under which zones are registered and unregistered. Sleeps.
    pub(crate) fn lock_zones(&mut self) -> Zones<'_> {
        // SAFETY: The VM exists.
        let mutex = unsafe { bindings::siov_helper_kvm_slots_lock(self.0.as_raw()) };
        // SAFETY: KVM initialises the mutex before the VM's ring, and it exists as long as the VM.
        let mutex: &Lock<(), MutexBackend> = unsafe { Lock::from_raw(mutex) };
        // SAFETY: The VM is initialised, and the guard is that of its mutex.
        Zones::new(unsafe { List::new(self.0, mutex.lock()) })
    }
}

/// A VM as [`Vm`] demands, which nothing else uses any more: its buses and its folder in debugfs
/// are gone. This is the last call for it.
pub(crate) struct UnusedVm<'call>(Vm<'call>);

impl<'call> FromC<'call, *mut bindings::kvm> for UnusedVm<'call> {
    unsafe fn from_c(kvm: *mut bindings::kvm, call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { FromC::from_c(kvm, call) })
    }
}

impl UnusedVm<'_> {
    /// Frees the VM's data and its ring.
    pub(crate) fn free(mut self) {
        self.0.lock_zones().retire();
        // SAFETY: Nothing uses the ring any more: user space has its own references to the page.
        unsafe { bindings::siov_helper_kvm_free_ring(self.0.raw().as_raw()) };
    }
}
