// SPDX-License-Identifier: GPL-2.0

//! Drivers of PCI functions: being bound to one, its BARs, and its message interrupts.
//!
//! Beside the kernel crate's `pci`, whose interface is another one in each of the kernels that we
//! support.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use crate::pci::{Device, DeviceRef};
use crate::{bindings, mmio};
use core::marker::{PhantomData, PhantomPinned};
use kernel::device::Bound;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use siov_types::PhysAddr;

/// A driver.
pub trait Driver: Send + Sync + 'static {
    /// What is kept for a bound function. Dropped when the driver is unbound.
    type Data: Send + Sync;
    /// As sysfs shows it.
    const NAME: &'static CStr;
    /// Vendor and device.
    const ID: (u16, u16);

    /// Takes a function into use.
    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Self::Data>>>;
}

/// A function that is being bound.
pub struct Function<'a>(&'a Device);

impl core::ops::Deref for Function<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.0
    }
}

impl Function<'_> {
    /// The generic device.
    pub fn bound(&self) -> &kernel::device::Device<Bound> {
        // SAFETY: It is part of this one, whose driver is being bound.
        unsafe { kernel::device::Device::from_raw(&raw mut (*self.0.raw()).dev) }
    }

    /// Lets the function answer to its BARs and begin transactions, until the result is dropped.
    pub fn enable(&self) -> Result<Enabled> {
        // SAFETY: The function exists and is ours.
        to_result(unsafe { bindings::pci_enable_device_mem(self.0.raw()) })?;
        let enabled = Enabled(self.0.get());
        // SAFETY: As above.
        unsafe { bindings::pci_set_master(self.0.raw()) };
        Ok(enabled)
    }

    /// Where a BAR lies: address and length in bytes.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the function has no such BAR, or firmware gave it no address.
    pub fn bar(&self, index: usize) -> Result<(PhysAddr, u64)> {
        // SAFETY: The function exists, and the helper checks the index.
        let (start, len) = unsafe {
            (
                bindings::siov_helper_pci_resource_start(self.0.raw(), index as i32),
                bindings::siov_helper_pci_resource_len(self.0.raw(), index as i32),
            )
        };
        if start == 0 || len == 0 {
            return Err(ENODEV);
        }
        Ok((PhysAddr::new(start), len))
    }

    /// Claims a BAR and maps it.
    pub fn map_bar(&self, index: usize, name: &'static CStr) -> Result<mmio::Registers> {
        let (start, len) = self.bar(index)?;
        mmio::Registers::claim(start, len, name)
    }

    /// Allocates `count` MSI-X vectors.
    pub fn vectors(&self, count: u32) -> Result<Arc<Vectors>> {
        // SAFETY: The function exists and is ours.
        let got = unsafe {
            bindings::pci_alloc_irq_vectors(self.0.raw(), count, count, bindings::PCI_IRQ_MSIX)
        };
        to_result(got)?;
        let vectors = Vectors(self.0.get());
        Ok(Arc::new(vectors, GFP_KERNEL)?)
    }
}

/// A function that is enabled.
pub struct Enabled(DeviceRef);

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: Enabled in `Function::enable`.
        unsafe {
            bindings::pci_clear_master(self.0.raw());
            bindings::pci_disable_device(self.0.raw());
        }
    }
}

/// The message interrupts of a function.
pub struct Vectors(DeviceRef);

impl Drop for Vectors {
    fn drop(&mut self) {
        // SAFETY: Allocated in `Function::vectors`; interrupts in use hold a reference to us.
        unsafe { bindings::pci_free_irq_vectors(self.0.raw()) };
    }
}

/// Who is told of an interrupt.
pub trait Handler: Send + Sync + 'static {
    /// The interrupt came. Called in a thread of its own.
    fn handle(&self);
}

/// An interrupt in use. Dropping it waits for a running handler.
pub struct Interrupt<H: Handler> {
    irq: u32,
    handler: Arc<H>,
    // Freed after the interrupt.
    _vectors: Arc<Vectors>,
}

impl<H: Handler> Interrupt<H> {
    /// Has `handler` called for vector `index`. `name` is what `/proc/interrupts` shows.
    pub fn new(
        vectors: &Arc<Vectors>,
        index: u32,
        handler: Arc<H>,
        name: &'static CStr,
    ) -> Result<Self> {
        // SAFETY: The function exists and has vectors; the index is checked.
        let irq = unsafe { bindings::pci_irq_vector(vectors.0.raw(), index) };
        to_result(irq)?;
        let irq = u32::try_from(irq)?;
        // SAFETY: The handler gets what lives until after `free_irq()`; the name lives for ever.
        to_result(unsafe {
            bindings::request_threaded_irq(
                irq,
                None,
                Some(Self::call),
                bindings::IRQF_ONESHOT as usize,
                name.as_char_ptr(),
                Arc::as_ptr(&handler).cast_mut().cast(),
            )
        })?;
        Ok(Self {
            irq,
            handler,
            _vectors: vectors.clone(),
        })
    }

    /// # Safety
    ///
    /// Called by the interrupt core with what was passed to `request_threaded_irq()`.
    unsafe extern "C" fn call(_irq: i32, data: *mut core::ffi::c_void) -> bindings::irqreturn_t {
        // SAFETY: As required of us.
        unsafe { &*data.cast::<H>() }.handle();
        // SAFETY: Converts a value.
        unsafe { bindings::siov_helper_irqreturn(true) }
    }
}

impl<H: Handler> Drop for Interrupt<H> {
    fn drop(&mut self) {
        let data = Arc::as_ptr(&self.handler).cast_mut().cast();
        // SAFETY: Requested in `new` with the same data.
        unsafe { bindings::free_irq(self.irq, data) };
    }
}

/// A registered driver. Dropping it unbinds it from all functions.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Registration<T: Driver> {
    driver: Opaque<bindings::pci_driver>,
    // What `id_table` points to, with an empty entry at the end.
    ids: [bindings::pci_device_id; 2],
    instance: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The C structure belongs to the driver core, which locks it.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Driver> Sync for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Registers `instance`, whose code is of `module`.
    pub fn new(instance: T, module: &'static ThisModule) -> Result<Pin<KBox<Self>>> {
        let (vendor, device) = T::ID;
        let this = KBox::pin_init(
            pin_init!(Self {
                driver: Opaque::zeroed(),
                ids: [
                    bindings::pci_device_id {
                        vendor: vendor.into(),
                        device: device.into(),
                        subvendor: !0,
                        subdevice: !0,
                        ..Default::default()
                    },
                    bindings::pci_device_id::default(),
                ],
                instance,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        let raw = this.driver.get();
        // SAFETY: The structure is ours until it is registered, and pinned until `drop`.
        to_result(unsafe {
            (*raw).name = T::NAME.as_char_ptr();
            (*raw).id_table = this.ids.as_ptr();
            (*raw).probe = Some(Table::<T>::probe);
            (*raw).remove = Some(Table::<T>::remove);
            bindings::__pci_register_driver(raw, module.as_ptr(), T::NAME.as_char_ptr())
        })
        .map(|()| this)
    }
}

#[pinned_drop]
impl<T: Driver> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        let raw = self.driver.get();
        // SAFETY: A driver has private data of the driver core from its registration on.
        unsafe {
            if !(*raw).driver.p.is_null() {
                bindings::pci_unregister_driver(raw);
            }
        }
    }
}

/// The C functions of one type of driver.
struct Table<T: Driver>(PhantomData<T>);

impl<T: Driver> Table<T> {
    /// # Safety
    ///
    /// Called by the PCI core for a function that it binds to our driver.
    unsafe extern "C" fn probe(
        pdev: *mut bindings::pci_dev,
        _id: *const bindings::pci_device_id,
    ) -> i32 {
        from_result(|| {
            // SAFETY: As required of us; our `pci_driver`s are the first field of a registration.
            let (function, registration) = unsafe {
                (
                    Function(&*pdev.cast()),
                    &*(*pdev).driver.cast::<Registration<T>>(),
                )
            };
            let data = registration.instance.probe(&function)?;
            // SAFETY: The C side does not move it, and `remove` takes it back.
            let data = KBox::into_raw(unsafe { Pin::into_inner_unchecked(data) });
            // SAFETY: A driver that is being bound owns this field.
            unsafe { (*pdev).dev.driver_data = data.cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the PCI core for a function that it unbinds from our driver.
    unsafe extern "C" fn remove(pdev: *mut bindings::pci_dev) {
        // SAFETY: As required of us; stored in `probe`.
        drop(unsafe { KBox::from_raw((*pdev).dev.driver_data.cast::<T::Data>()) });
    }
}
