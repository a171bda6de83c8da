// SPDX-License-Identifier: GPL-2.0

//! Being told of blocked requests.

use core::ffi::c_void;
use core::marker::PhantomPinned;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::iommu::{AnyDomain, DmaFault};
use linux::{bindings, raw};

/// Who is told.
pub trait OnFault: Send + Sync + 'static {
    /// A request was blocked. Called in process context; must not call functions of this crate.
    fn fault(&self, fault: &DmaFault);
}

/// Tells an [`OnFault`] of the faults of one domain's PASID on one device, until it is dropped.
#[pin_data(PinnedDrop)]
pub struct FaultHandler<T: OnFault> {
    domain: *mut bindings::iommu_domain,
    dev: ARef<Device>,
    listener: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The domain is only compared with others.
unsafe impl<T: OnFault> Send for FaultHandler<T> {}
// SAFETY: As above.
unsafe impl<T: OnFault> Sync for FaultHandler<T> {}

impl<T: OnFault> FaultHandler<T> {
    /// Registers `listener` for `domain`, which is attached to `dev` in auxiliary mode.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the IOMMU's driver tells nobody; `ENODEV` when the domain is not attached.
    pub fn new(domain: &AnyDomain, dev: &Device, listener: T) -> Result<Pin<KBox<Self>>> {
        let this = KBox::pin_init(
            pin_init!(Self {
                domain: raw::domain(domain),
                dev: dev.into(),
                listener,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: Domain and device are valid; the handler is pinned until `drop` has unregistered it,
        // which waits until it does not run.
        to_result(unsafe {
            bindings::iommu_aux_register_fault_handler(
                this.domain,
                raw::device(&this.dev),
                Some(Self::call),
                this.data(),
            )
        })?;
        Ok(this)
    }

    fn data(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Who is told.
    pub fn listener(&self) -> &T {
        &self.listener
    }

    /// # Safety
    ///
    /// Called for what was registered, with a valid fault.
    unsafe extern "C" fn call(fault: *const bindings::iommu_dma_fault, data: *mut c_void) {
        // SAFETY: As required of us.
        let (this, fault) = unsafe { (&*data.cast::<Self>(), DmaFault::from_raw(&*fault)) };
        this.listener.fault(&fault);
    }
}

#[pinned_drop]
impl<T: OnFault> PinnedDrop for FaultHandler<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`, or not known, which changes nothing. The domain may be gone by now:
        // it is looked up by its address only.
        unsafe {
            bindings::iommu_aux_unregister_fault_handler(
                self.domain,
                raw::device(&self.dev),
                Some(Self::call),
                self.data(),
            );
        }
    }
}
