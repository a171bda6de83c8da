// SPDX-License-Identifier: GPL-2.0

//! What belongs to one VM.

use crate::zone::{new_dev, Node, Request};
use crate::{debugfs, CoalescedIo};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kernel::prelude::*;
use kernel::types::{NotThreadSafe, Opaque};
use linux::bindings;
use siov_ring::Ring;

/// `zone.pio` of the list's first element, which neither we nor C look for.
const NOT_A_ZONE: u32 = u32::MAX;

/// Data of a VM, from its first zone on.
///
/// # Invariants
///
/// `ring` and `lock` are those of the VM, and live as long as it does, which is longer than this.
#[repr(C)]
pub struct PerVm<T: CoalescedIo> {
    /// Comes first, so that a pointer to one is a pointer to the other. The first element of the VM's
    /// list.
    dev: Opaque<bindings::kvm_coalesced_mmio_dev>,
    ring: NonNull<Ring>,
    lock: NonNull<bindings::spinlock_t>,
    ops: *const bindings::kvm_io_device_ops,
    /// Zones that refer to this. Changes under `slots_lock`.
    zones: AtomicUsize,
    /// The list does not refer to this any more: it goes with the last zone.
    retired: AtomicBool,
    data: T::Vm,
}

// SAFETY: The C part is guarded by `slots_lock`, the ring consists of atomics, and the data is `Send`.
unsafe impl<T: CoalescedIo> Send for PerVm<T> {}
// SAFETY: As above, and the data is `Sync`.
unsafe impl<T: CoalescedIo> Sync for PerVm<T> {}

impl<T: CoalescedIo> PerVm<T> {
    /// That of a VM, if it has one.
    ///
    /// # Safety
    ///
    /// `kvm` is initialised and lives for `'a`, and `slots_lock` is held or nobody else uses the VM.
    pub(crate) unsafe fn get<'a>(kvm: *mut bindings::kvm) -> Option<&'a Self> {
        // SAFETY: As required of us.
        let head = unsafe { bindings::siov_helper_kvm_zones(kvm) };
        // SAFETY: The head of a list is valid.
        let first = unsafe { (*head).next };
        if first == head {
            return None;
        }
        let dev = first.cast::<bindings::kvm_coalesced_mmio_dev>();
        // SAFETY: An element of the list starts with its `list`.
        let is_ours = unsafe { Request::from_raw(&(*dev).zone) }.pio == NOT_A_ZONE;
        // SAFETY: Only `new()` makes an element of that kind.
        is_ours.then(|| unsafe { &*dev.cast::<Self>() })
    }

    /// Gives a VM its data, and its file.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// As for [`PerVm::get`], which has returned `None`.
    pub(crate) unsafe fn new<'a>(kvm: *mut bindings::kvm) -> Result<&'a Self> {
        let nothing = Request {
            addr: 0,
            size: 0,
            pio: NOT_A_ZONE,
        };
        // SAFETY: As required of us.
        let (ring, lock) = unsafe {
            (
                bindings::siov_helper_kvm_ring(kvm),
                bindings::siov_helper_kvm_ring_lock(kvm),
            )
        };
        let this = KBox::new(
            Self {
                dev: Opaque::new(new_dev(kvm, core::ptr::null(), &nothing)),
                ring: NonNull::new(ring.cast()).ok_or(EINVAL)?,
                lock: NonNull::new(lock).ok_or(EINVAL)?,
                ops: Node::<T>::ops(),
                zones: AtomicUsize::new(0),
                retired: AtomicBool::new(false),
                data: T::Vm::default(),
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let this = KBox::into_raw(this);
        // SAFETY: Just made, and the list's lock is held. A live patch must stay as long as its zones
        // can; the VM pins the module.
        unsafe {
            let dev = Opaque::cast_into(&raw const (*this).dev);
            bindings::siov_helper_kvm_add_first(kvm, &raw mut (*dev).list);
            bindings::__module_get(&raw mut bindings::__this_module);
        }
        // SAFETY: The file goes before the VM, and what we made goes with the VM.
        unsafe { debugfs::create::<T>(kvm) };
        // SAFETY: Lives as long as the VM.
        Ok(unsafe { &*this })
    }

    /// Ends it, if there is one.
    ///
    /// # Safety
    ///
    /// Nobody uses the VM any more, and its zones and its folder in debugfs are gone.
    pub(crate) unsafe fn free(kvm: *mut bindings::kvm) {
        // SAFETY: As required of us.
        if let Some(this) = unsafe { Self::get(kvm) } {
            // SAFETY: Nobody else has a reference.
            unsafe {
                this.unlink();
                Self::release(NonNull::from(this));
            }
        }
    }

    /// Takes it away from a VM that goes on without us, at once or with the last of our zones.
    ///
    /// # Safety
    ///
    /// `slots_lock` is held, and the VM's file in debugfs is gone.
    pub(crate) unsafe fn retire(kvm: *mut bindings::kvm) {
        // SAFETY: The lock is held.
        let Some(this) = (unsafe { Self::get(kvm) }) else {
            return;
        };
        // SAFETY: The lock is held, under which the list is looked at.
        unsafe { this.unlink() };
        this.retired.store(true, Ordering::Relaxed);
        if this.zones.load(Ordering::Relaxed) == 0 {
            // SAFETY: Neither list nor zone refers to it.
            unsafe { Self::release(NonNull::from(this)) };
        }
    }

    /// A zone refers to this from now on.
    ///
    /// # Safety
    ///
    /// `slots_lock` is held.
    pub(crate) unsafe fn zone_came(&self) {
        let zones = self.zones.load(Ordering::Relaxed);
        self.zones.store(zones.wrapping_add(1), Ordering::Relaxed);
    }

    /// One zone less refers to `this`.
    ///
    /// # Safety
    ///
    /// `slots_lock` is held or the VM has no users; the caller does not use `this` any more.
    pub(crate) unsafe fn zone_went(this: NonNull<Self>) {
        // SAFETY: It lives as long as its zones.
        let (zones, retired) = unsafe { (&this.as_ref().zones, &this.as_ref().retired) };
        let left = zones.load(Ordering::Relaxed).wrapping_sub(1);
        zones.store(left, Ordering::Relaxed);
        if left == 0 && retired.load(Ordering::Relaxed) {
            // SAFETY: The list does not refer to it either.
            unsafe { Self::release(this) };
        }
    }

    /// # Safety
    ///
    /// It is in the list, and nobody else looks at that.
    unsafe fn unlink(&self) {
        // SAFETY: As required of us.
        unsafe { bindings::siov_helper_kvm_remove_zone(&raw mut (*self.dev.get()).list) };
    }

    /// # Safety
    ///
    /// Made by [`PerVm::new`], and nobody has a reference any more.
    unsafe fn release(this: NonNull<Self>) {
        // SAFETY: As required of us. The module was pinned when it was made.
        unsafe {
            drop(KBox::from_raw(this.as_ptr()));
            bindings::module_put(&raw mut bindings::__this_module);
        }
    }

    pub(crate) fn kvm(&self) -> *mut bindings::kvm {
        // SAFETY: Never changed.
        unsafe { (*self.dev.get()).kvm }
    }

    pub(crate) fn ops(&self) -> *const bindings::kvm_io_device_ops {
        self.ops
    }

    /// The data.
    #[inline]
    pub fn data(&self) -> &T::Vm {
        &self.data
    }

    /// Takes `ring_lock`: its holder is the ring's producer.
    #[inline]
    pub fn lock_ring(&self) -> RingGuard<'_> {
        #[cfg(not(CONFIG_PREEMPT_RT))]
        // SAFETY: Initialised with the VM, and lives as long. A spinlock begins with its raw one.
        unsafe {
            bindings::_raw_spin_lock(self.lock.as_ptr().cast())
        };
        #[cfg(CONFIG_PREEMPT_RT)]
        // SAFETY: Initialised with the VM, and lives as long.
        unsafe {
            bindings::spin_lock(self.lock.as_ptr())
        };
        RingGuard {
            // SAFETY: By the type invariants; user space shares the page, which consists of atomics.
            ring: unsafe { self.ring.as_ref() },
            lock: self.lock,
            _here: PhantomData,
        }
    }
}

/// The ring, while its lock is held.
pub struct RingGuard<'a> {
    ring: &'a Ring,
    lock: NonNull<bindings::spinlock_t>,
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
        #[cfg(not(CONFIG_PREEMPT_RT))]
        // SAFETY: Taken in `lock_ring()`.
        unsafe {
            bindings::_raw_spin_unlock(self.lock.as_ptr().cast())
        };
        #[cfg(CONFIG_PREEMPT_RT)]
        // SAFETY: Taken in `lock_ring()`.
        unsafe {
            bindings::spin_unlock(self.lock.as_ptr())
        };
    }
}
