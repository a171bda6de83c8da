// SPDX-License-Identifier: GPL-2.0

//! Handlers for blocked requests.

use core::ffi::c_void;
use core::marker::PhantomPinned;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::bindings;
use linux::callback::{Data, Registered};
use linux::iommu::{AnyDomain, DmaFault};
use linux::module::{InUse, Kind};
use linux::object::Object;

/// A listener for blocked requests.
///
/// # Examples
///
/// ```ignore
/// struct Count(AtomicU64);
///
/// impl OnFault for Count {
///     fn fault(&self, _: &DmaFault) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// let handler = attachment.on_fault(Count(AtomicU64::new(0)))?;
/// ```
pub trait OnFault: Send + Sync + 'static {
    /// A request was blocked. Called in process context; must not call functions of this crate.
    fn fault(&self, fault: &DmaFault);
}

/// Calls an [`OnFault`] for faults of one domain's PASID on one device, until it is dropped.
#[pin_data(PinnedDrop)]
pub struct FaultHandler<T: OnFault> {
    // Compared with others only: it may be gone.
    domain: AtomicPtr<bindings::iommu_domain>,
    dev: ARef<Device>,
    listener: T,
    #[pin]
    _pin: PhantomPinned,
    _in_use: InUse,
}

impl<T: OnFault> FaultHandler<T> {
    /// Registers `listener` for `domain`, which is attached to `dev` in auxiliary mode.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the IOMMU's driver reports none; `ENODEV` when the domain is not attached.
    pub fn new(domain: &AnyDomain, dev: &Device, listener: T) -> Result<Pin<KBox<Self>>> {
        let this = KBox::pin_init(
            pin_init!(Self {
                domain: AtomicPtr::new(domain.as_raw()),
                dev: dev.into(),
                listener,
                _pin: PhantomPinned,
                _in_use: InUse::new(Kind::FaultHandler),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: Domain and device are valid; the handler is pinned until `drop` has unregistered
        // it, which waits until it does not run.
        to_result(unsafe {
            bindings::iommu_aux_register_fault_handler(
                this.domain(),
                this.dev.as_raw(),
                Some(Self::call_callback),
                Data::<Self>::cookie(&this),
            )
        })?;
        Ok(this)
    }

    fn domain(&self) -> *mut bindings::iommu_domain {
        self.domain.load(Ordering::Relaxed)
    }

    /// The listener.
    pub fn listener(&self) -> &T {
        &self.listener
    }

    linux::callbacks! {
        /// `iommu_aux_fault_handler_t`.
        ///
        /// # Safety
        ///
        /// For handlers that `new` registers, which are pinned until they are unregistered.
        unsafe fn call_callback(
            fault: *const bindings::iommu_dma_fault => DmaFault,
            this: *mut c_void => Data<'_, Self>,
        ) = Self::call;
    }

    fn call(fault: DmaFault, this: Data<'_, Self>) {
        this.listener.fault(&fault);
    }
}

impl<T: OnFault> Registered for FaultHandler<T> {
    type Data = Self;
}

#[pinned_drop]
impl<T: OnFault> PinnedDrop for FaultHandler<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`, or not known, which changes nothing. The domain may be gone
        // by now: it is looked up by its address only.
        unsafe {
            bindings::iommu_aux_unregister_fault_handler(
                self.domain(),
                self.dev.as_raw(),
                Some(Self::call_callback),
                Data::<Self>::cookie(&self),
            );
        }
    }
}
