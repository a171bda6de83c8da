// SPDX-License-Identifier: GPL-2.0

//! Blocked requests, as an IOMMU driver tells them to others.
//!
//! C header: `include/linux/iommu-fault.h`

use crate::symbol::Symbol;
use crate::{bindings, raw};
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
            dev: raw::device(&self.dev),
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

type Register = unsafe extern "C" fn(*mut bindings::notifier_block) -> c_int;

/// Tells a [`Listener`] of each fault, until it is dropped.
#[pin_data(PinnedDrop)]
pub struct Subscription<T: Listener> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    listener: T,
    register: Symbol,
    unregister: Symbol,
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
        let register = Symbol::get(c"vtd_register_fault_notifier").ok_or(ENOENT)?;
        let unregister = Symbol::get(c"vtd_unregister_fault_notifier").ok_or(ENOENT)?;
        let this = KBox::pin_init(
            pin_init!(Self {
                block: Opaque::new(bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    ..Default::default()
                }),
                listener,
                register,
                unregister,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The symbol is this function.
        let register: Register = unsafe { core::mem::transmute(this.register.address()) };
        // SAFETY: The block is pinned, and unregistered in `drop`. Registering such a block cannot fail.
        to_result(unsafe { register(this.block.get()) })?;
        Ok(this)
    }

    /// Who is told.
    pub fn listener(&self) -> &T {
        &self.listener
    }

    /// # Safety
    ///
    /// Called by the chain that a subscription is registered on, with a fault.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        _action: c_ulong,
        fault: *mut c_void,
    ) -> c_int {
        // SAFETY: `Opaque` is transparent, and the block lies in a `Subscription<T>` that is not dropped
        // while the chain is called. The fault is valid for the call.
        unsafe {
            let this = &*block.byte_sub(offset_of!(Self, block)).cast::<Self>();
            let fault = DmaFault::from_raw(&*fault.cast());
            this.listener.fault(fault);
        }
        bindings::NOTIFY_OK as c_int
    }
}

#[pinned_drop]
impl<T: Listener> PinnedDrop for Subscription<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The symbol is this function.
        let unregister: Register = unsafe { core::mem::transmute(self.unregister.address()) };
        // SAFETY: Registered in `new`. It waits for calls that are under way.
        unsafe { unregister(self.block.get()) };
    }
}
