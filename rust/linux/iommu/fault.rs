// SPDX-License-Identifier: GPL-2.0

//! Blocked requests, as an IOMMU driver reports them to others.
//!
//! C header: `include/linux/iommu-fault.h`

use crate::bindings;
use crate::callback::{Call, FromC};
use crate::module::{InUse, Kind};
use crate::object::Object;
use core::mem::{offset_of, ManuallyDrop};
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
    pub unsafe fn from_raw(raw: *const bindings::iommu_dma_fault) -> Self {
        // SAFETY: As required of us.
        let fault = unsafe { raw.read() };
        Self {
            // SAFETY: As required of us.
            dev: unsafe { Device::get_device(fault.dev) },
            pasid: (fault.flags & HAS_PASID != 0)
                .then(|| Pasid::new(fault.pasid))
                .flatten(),
            page: Iova::new(fault.addr),
            access: FaultAccess::from_bits_truncate(fault.flags),
            reason: fault.reason,
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
pub struct RawDmaFault(bindings::iommu_dma_fault);

impl RawDmaFault {
    /// The structure. It is valid as long as `self` is.
    pub fn as_ptr(&self) -> *const bindings::iommu_dma_fault {
        &raw const self.0
    }
}

/// What C code passes to a function that is called for a blocked request: the fault and its device
/// are valid.
impl FromC<'_, *const bindings::iommu_dma_fault> for DmaFault {
    unsafe fn from_c(raw: *const bindings::iommu_dma_fault, _call: &Call) -> Self {
        // SAFETY: As required of us.
        unsafe { Self::from_raw(raw) }
    }
}

/// The data of a notifier chain that is called with faults: a fault, which is valid, and so is its
/// device.
impl FromC<'_, *mut c_void> for DmaFault {
    unsafe fn from_c(raw: *mut c_void, _call: &Call) -> Self {
        // SAFETY: As required of us.
        unsafe { Self::from_raw(raw.cast()) }
    }
}

/// A listener for blocked requests.
pub trait FaultListener: Send + Sync + 'static {
    /// A request was blocked. Called in hard interrupt context.
    fn fault(&self, fault: DmaFault);
}

crate::imports! {
    /// `vtd_register_fault_notifier()`.
    struct Register = fn vtd_register_fault_notifier(*mut bindings::notifier_block) -> c_int;
    /// `vtd_unregister_fault_notifier()`.
    struct Unregister = fn vtd_unregister_fault_notifier(*mut bindings::notifier_block) -> c_int;
}

/// What C code knows.
#[pin_data]
struct Node<T: FaultListener> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    listener: T,
    register: Register,
    unregister: Unregister,
    _in_use: InUse,
}

// SAFETY: The notifier block belongs to the C side, which locks it.
unsafe impl<T: FaultListener> Send for Node<T> {}
// SAFETY: As above.
unsafe impl<T: FaultListener> Sync for Node<T> {}

/// Calls a [`FaultListener`] for each fault, until it is dropped. It stays with a warning, and is
/// never freed, if it is dropped with interrupts off: that may be in the listener itself.
pub struct Subscription<T: FaultListener>(ManuallyDrop<Pin<KBox<Node<T>>>>);

impl<T: FaultListener> Subscription<T> {
    /// Subscribes to the faults of the one IOMMU driver that reports them.
    ///
    /// # Errors
    ///
    /// `ENOENT` when no such driver is loaded.
    pub fn new(listener: T) -> Result<Self> {
        let register = Register::get().ok_or(ENOENT)?;
        let unregister = Unregister::get().ok_or(ENOENT)?;
        let this = KBox::pin_init(
            pin_init!(Node {
                block: Opaque::new(bindings::notifier_block {
                    notifier_call: Some(Self::call_callback),
                    ..Default::default()
                }),
                listener,
                register,
                unregister,
                _in_use: InUse::new(Kind::FaultNotifier),
            }),
            GFP_KERNEL,
        )?;
        let register = this.register.function();
        // SAFETY: The block is pinned, and unregistered in `drop`. Registering such a block cannot
        // fail.
        to_result(unsafe { register(this.block.get()) })?;
        Ok(Self(ManuallyDrop::new(this)))
    }

    /// The listener.
    pub fn listener(&self) -> &T {
        &self.0.listener
    }

    crate::callbacks! {
        /// `notifier_block::notifier_call`.
        ///
        /// # Safety
        ///
        /// For the block of a `Node<T>`, which the chain passes; the chain is called with faults
        /// (`include/linux/iommu-fault.h`).
        unsafe fn call_callback(
            block: *mut bindings::notifier_block => Block<'_, T>,
            _action: c_ulong => c_ulong,
            fault: *mut c_void => DmaFault,
        ) -> c_int = Self::call;
    }

    fn call(block: Block<'_, T>, _action: c_ulong, fault: DmaFault) -> c_int {
        block.0.listener.fault(fault);
        bindings::NOTIFY_OK as c_int
    }
}

/// The subscription that a notifier block lies in. It is not dropped while its chain is called.
struct Block<'call, T: FaultListener>(&'call Node<T>);

impl<'call, T: FaultListener> FromC<'call, *mut bindings::notifier_block> for Block<'call, T> {
    unsafe fn from_c(block: *mut bindings::notifier_block, _call: &'call Call) -> Self {
        // `Opaque` is transparent.
        let subscription = block.wrapping_byte_sub(offset_of!(Node<T>, block));
        // SAFETY: As required of us.
        Self(unsafe { &*subscription.cast() })
    }
}

impl<T: FaultListener> Drop for Subscription<T> {
    fn drop(&mut self) {
        if crate::irq::off_when_dropped() {
            return;
        }
        let unregister = self.0.unregister.function();
        // SAFETY: Registered in `new`. It waits for calls that are under way, of which this is
        // none: those are with interrupts off.
        unsafe { unregister(self.0.block.get()) };
        // SAFETY: Not used after this.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}
