// SPDX-License-Identifier: GPL-2.0

//! Blocked requests, as an IOMMU driver tells them to others.
//!
//! C header: `include/linux/iommu-fault.h`

use crate::abi::{callback3, Object, Receive};
use crate::bindings;
use core::marker::PhantomData;
use core::mem::offset_of;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_ulong, c_void};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;
use siov_types::{Iova, Pasid};

bitflags::bitflags! {
    /// What was asked for (`IOMMU_DMA_FAULT_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FaultAccess: u32 {
        /// To write; to read if clear.
        const WRITE = 1 << 0;
        /// To execute.
        const EXEC = 1 << 1;
        /// With supervisor privilege.
        const PRIV = 1 << 2;
    }
}

const HAS_PASID: u32 = 1 << 3;

/// A blocked request (`struct iommu_dma_fault`).
pub struct DmaFault {
    /// Who sent it.
    pub dev: ARef<Device>,
    /// The request's PASID; `None` for one without.
    pub pasid: Option<Pasid>,
    /// The page that was touched.
    pub page: Iova,
    /// What was asked for.
    pub access: FaultAccess,
    /// Why it was blocked, in the IOMMU's own encoding.
    pub reason: u32,
}

impl DmaFault {
    /// Copies the C structure, and takes a reference to its device.
    ///
    /// # Safety
    ///
    /// `raw` is valid, and so is its device.
    pub unsafe fn from_raw(raw: &bindings::iommu_dma_fault) -> Self {
        Self {
            // SAFETY: As required of us.
            dev: unsafe { Device::get_device(raw.dev) },
            pasid: (raw.flags & HAS_PASID != 0)
                .then(|| Pasid::new(raw.pasid))
                .flatten(),
            page: Iova::new(raw.addr),
            access: FaultAccess::from_bits_truncate(raw.flags),
            reason: raw.reason,
        }
    }

    /// Calls `f` with the C structure.
    pub fn with_raw(&self, f: impl FnOnce(&RawDmaFault)) {
        let pasid = self.pasid.map_or(0, |_| HAS_PASID);
        f(&RawDmaFault(bindings::iommu_dma_fault {
            dev: self.dev.as_raw(),
            addr: self.page.raw(),
            pasid: self.pasid.map_or(0, Pasid::raw),
            flags: self.access.bits() | pasid,
            reason: self.reason,
        }));
    }
}

/// A `struct iommu_dma_fault` for C functions.
#[repr(transparent)]
pub struct RawDmaFault(bindings::iommu_dma_fault);

/// Who wants to know.
pub trait Listener: Send + Sync + 'static {
    /// A request was blocked. Called in hard interrupt context.
    fn fault(&self, fault: DmaFault);
}

crate::imports! {
    /// `vtd_register_fault_notifier()`.
    struct Register = fn vtd_register_fault_notifier(*mut bindings::notifier_block) -> c_int;
    /// `vtd_unregister_fault_notifier()`.
    struct Unregister = fn vtd_unregister_fault_notifier(*mut bindings::notifier_block) -> c_int;
}

/// Tells a [`Listener`] of each fault, until it is dropped.
#[pin_data(PinnedDrop)]
pub struct Subscription<T: Listener> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    listener: T,
    register: Register,
    unregister: Unregister,
}

// SAFETY: The notifier block belongs to the C side, which locks it.
unsafe impl<T: Listener> Send for Subscription<T> {}
// SAFETY: As above.
unsafe impl<T: Listener> Sync for Subscription<T> {}

impl<T: Listener> Subscription<T> {
    /// Subscribes to the faults of the one IOMMU driver that tells them.
    ///
    /// # Errors
    ///
    /// `ENOENT` when no such driver is loaded.
    pub fn new(listener: T) -> Result<Pin<KBox<Self>>> {
        let register = Register::get().ok_or(ENOENT)?;
        let unregister = Unregister::get().ok_or(ENOENT)?;
        let this = KBox::pin_init(
            pin_init!(Self {
                block: Opaque::new(bindings::notifier_block {
                    notifier_call: Some(callback3(Self::call)),
                    ..Default::default()
                }),
                listener,
                register,
                unregister,
            }),
            GFP_KERNEL,
        )?;
        let register = this.register.function();
        // SAFETY: The block is pinned, and unregistered in `drop`. Registering such a block cannot fail.
        to_result(unsafe { register(this.block.get()) })?;
        Ok(this)
    }

    /// Who is told.
    pub fn listener(&self) -> &T {
        &self.listener
    }

    extern "C" fn call(block: Block<'_, T>, _action: c_ulong, fault: Notified<'_>) -> c_int {
        block.subscription().listener.fault(fault.get());
        bindings::NOTIFY_OK as c_int
    }
}

/// The notifier block of a subscription that is not dropped while the chain is called.
#[repr(transparent)]
struct Block<'a, T: Listener>(&'a Opaque<bindings::notifier_block>, PhantomData<T>);

// SAFETY: The chain passes the block that was registered on it with the function.
unsafe impl<T: Listener> Receive<*mut bindings::notifier_block> for Block<'_, T> {}

impl<T: Listener> Block<'_, T> {
    fn subscription(&self) -> &Subscription<T> {
        // SAFETY: `Opaque` is transparent, and the block lies in a subscription.
        unsafe {
            &*self
                .0
                .get()
                .byte_sub(offset_of!(Subscription<T>, block))
                .cast()
        }
    }
}

/// What the chain is called with.
#[repr(transparent)]
struct Notified<'a>(&'a bindings::iommu_dma_fault);

// SAFETY: IOMMU drivers call the chain with a fault.
unsafe impl Receive<*mut c_void> for Notified<'_> {}

impl Notified<'_> {
    fn get(&self) -> DmaFault {
        // SAFETY: A fault has a valid device.
        unsafe { DmaFault::from_raw(self.0) }
    }
}

#[pinned_drop]
impl<T: Listener> PinnedDrop for Subscription<T> {
    fn drop(self: Pin<&mut Self>) {
        let unregister = self.unregister.function();
        // SAFETY: Registered in `new`. It waits for calls that are under way.
        unsafe { unregister(self.block.get()) };
    }
}
