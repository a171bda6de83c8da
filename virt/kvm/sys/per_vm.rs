// SPDX-License-Identifier: GPL-2.0

//! What belongs to one VM.

use crate::sys::list::c::{siov_helper_kvm_ring, siov_helper_kvm_ring_lock};
use crate::sys::list::{Dev, List};
use crate::sys::zone::{new_dev, Node, Request};
use crate::sys::{debugfs, module, CoalescedIo};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::{NotThreadSafe, Opaque};
use linux::abi::Object;
use linux::bindings;
use siov_ring::Ring;

// A spinlock begins with its raw one, whose functions are no further call away.
#[cfg(not(CONFIG_PREEMPT_RT))]
use linux::bindings::{_raw_spin_lock as spin_lock, _raw_spin_unlock as spin_unlock};
#[cfg(CONFIG_PREEMPT_RT)]
use linux::bindings::{spin_lock, spin_unlock};

/// `zone.pio` of the list's first element, which neither we nor C look for.
const NOT_A_ZONE: u32 = u32::MAX;

/// Data of a VM, from its first zone on. The list has one reference, and each zone of ours has one.
///
/// # Invariants
///
/// `ring` and `lock` are those of the VM, and live as long as it does, which is longer than this.
#[repr(C)]
pub(crate) struct PerVm<T: CoalescedIo> {
    /// Comes first, so that a pointer to one is a pointer to the other. The first element of the VM's
    /// list.
    dev: Opaque<Dev>,
    ring: NonNull<Ring>,
    lock: *mut bindings::spinlock_t,
    ops: *const bindings::kvm_io_device_ops,
    data: T::Vm,
}

impl<T: CoalescedIo> PerVm<T> {
    /// That of a VM, if it has one.
    pub(crate) fn of<'a>(list: &List<'a>) -> Option<ArcBorrow<'a, Self>> {
        let dev = list.first()?;
        let is_ours = list.look_at(dev).0.pio == NOT_A_ZONE;
        // SAFETY: Only `new()` makes an element of that kind, to which the list has a reference.
        is_ours.then(|| unsafe { ArcBorrow::from_raw(dev.as_ptr().cast::<Self>()) })
    }

    /// Gives a VM that has none its data, and its file.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(list: &List<'_>) -> Result<Arc<Self>> {
        let nothing = Request {
            addr: 0,
            size: 0,
            pio: NOT_A_ZONE,
        };
        let vm = list.vm();
        let this = Arc::new(
            Self {
                dev: Opaque::new(new_dev(vm, core::ptr::null(), &nothing)),
                ring: NonNull::new(siov_helper_kvm_ring(vm).cast()).ok_or(EINVAL)?,
                lock: siov_helper_kvm_ring_lock(vm),
                ops: Node::<T>::OPS,
                data: T::Vm::default(),
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        module::get();
        let dev = Arc::into_raw(this.clone()).cast_mut().cast();
        // SAFETY: Just made, and it stays until `release()` takes it out of the list.
        unsafe { bindings::siov_helper_kvm_add_first(vm.as_raw(), dev) };
        debugfs::create::<T>(vm);
        Ok(this)
    }

    /// Takes it away from its VM, if there is one; zones of ours that are left keep it.
    pub(crate) fn release(list: &List<'_>) {
        let Some(this) = Self::of(list) else {
            return;
        };
        let this = NonNull::from(&*this);
        // SAFETY: It is in the list, whose reference becomes ours.
        let this = unsafe {
            list.remove(this.cast());
            Arc::from_raw(this.as_ptr())
        };
        drop(this);
        module::put();
    }

    pub(crate) fn ops(&self) -> *const bindings::kvm_io_device_ops {
        self.ops
    }

    /// The data.
    #[inline]
    pub(crate) fn data(&self) -> &T::Vm {
        &self.data
    }

    /// Takes `ring_lock`: its holder is the ring's producer.
    #[inline]
    pub(crate) fn lock_ring(&self) -> RingGuard<'_> {
        // SAFETY: Initialised with the VM, and lives as long.
        unsafe { spin_lock(self.lock.cast()) };
        RingGuard {
            // SAFETY: By the type invariants; user space shares the page, which consists of atomics.
            ring: unsafe { self.ring.as_ref() },
            lock: self.lock,
            _here: PhantomData,
        }
    }
}

/// The ring, while its lock is held.
pub(crate) struct RingGuard<'a> {
    ring: &'a Ring,
    lock: *mut bindings::spinlock_t,
    _here: PhantomData<NotThreadSafe>,
}

impl Deref for RingGuard<'_> {
    type Target = Ring;

    #[inline]
    fn deref(&self) -> &Ring {
        self.ring
    }
}

impl Drop for RingGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Taken in `lock_ring()`.
        unsafe { spin_unlock(self.lock.cast()) };
    }
}
