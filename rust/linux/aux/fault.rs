// SPDX-License-Identifier: GPL-2.0

//! Being told of blocked requests.

use core::ffi::c_void;
use core::marker::PhantomPinned;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::abi::{callback2, Data, Object};
use linux::bindings;
use linux::iommu::{AnyDomain, DmaFault};

/// Who is told.
pub trait OnFault: Send + Sync + 'static {
    /// A request was blocked. Called in process context; must not call functions of this crate.
    fn fault(&self, fault: &DmaFault);
}

/// Tells an [`OnFault`] of the faults of one domain's PASID on one device, until it is dropped.
#[pin_data(PinnedDrop)]
pub struct FaultHandler<T: OnFault> {
    // Compared with others only: it may be gone.
    domain: AtomicPtr<bindings::iommu_domain>,
    dev: ARef<Device>,
    listener: T,
    #[pin]
    _pin: PhantomPinned,
}

impl<T: OnFault> FaultHandler<T> {
    /// Registers `listener` for `domain`, which is attached to `dev` in auxiliary mode.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the IOMMU's driver tells nobody; `ENODEV` when the domain is not attached.
    pub fn new(domain: &AnyDomain, dev: &Device, listener: T) -> Result<Pin<KBox<Self>>> {
        let this = KBox::pin_init(
            pin_init!(Self {
                domain: AtomicPtr::new(domain.as_raw()),
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
                this.domain(),
                this.dev.as_raw(),
                Some(callback2(Self::call)),
                this.data(),
            )
        })?;
        Ok(this)
    }

    fn domain(&self) -> *mut bindings::iommu_domain {
        self.domain.load(Ordering::Relaxed)
    }

    fn data(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Who is told.
    pub fn listener(&self) -> &T {
        &self.listener
    }

    extern "C" fn call(fault: Fault<'_>, this: Data<'_, Self>) {
        this.listener.fault(&fault.get());
    }
}

// SAFETY: iommu_aux.ko passes a fault that is valid until the handler returns, as its device is.
linux::c_arguments!(unsafe {
    struct Fault<'a>(&'a bindings::iommu_dma_fault): *const bindings::iommu_dma_fault;
});

impl Fault<'_> {
    fn get(&self) -> DmaFault {
        // SAFETY: Its device is valid.
        unsafe { DmaFault::from_raw(self.0) }
    }
}

#[pinned_drop]
impl<T: OnFault> PinnedDrop for FaultHandler<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`, or not known, which changes nothing. The domain may be gone by now:
        // it is looked up by its address only.
        unsafe {
            bindings::iommu_aux_unregister_fault_handler(
                self.domain(),
                self.dev.as_raw(),
                Some(callback2(Self::call)),
                self.data(),
            );
        }
    }
}
