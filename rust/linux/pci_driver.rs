// SPDX-License-Identifier: GPL-2.0

//! Drivers of PCI functions: being bound to one, its BARs, and its message interrupts.
//!
//! Beside the kernel crate's `pci`, whose interface is another one in each of the kernels that we
//! support.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use crate::abi::{callback1, callback2, Data, Object, Receive};
use crate::irq::irqreturn;
use crate::pci::{c, Device, DeviceRef};
use crate::{bindings, mmio};
use core::marker::{PhantomData, PhantomPinned};
use kernel::device::Bound;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::{ForeignOwnable, Opaque};
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
        unsafe { kernel::device::Device::from_raw(&raw mut (*self.0.as_raw()).dev) }
    }

    /// Lets the function answer to its BARs and begin transactions, until the result is dropped.
    pub fn enable(&self) -> Result<Enabled> {
        to_result(c::pci_enable_device_mem(self))?;
        let enabled = Enabled(self.0.get());
        c::pci_set_master(self);
        Ok(enabled)
    }

    /// Where a BAR lies: address and length in bytes.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the function has no such BAR, or firmware gave it no address.
    pub fn bar(&self, index: usize) -> Result<(PhysAddr, u64)> {
        // The helpers check the index.
        let start = c::siov_helper_pci_resource_start(self, index as i32);
        let len = c::siov_helper_pci_resource_len(self, index as i32);
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
        to_result(c::pci_alloc_irq_vectors(
            self,
            count,
            count,
            bindings::PCI_IRQ_MSIX,
        ))?;
        let vectors = Vectors(self.0.get());
        Ok(Arc::new(vectors, GFP_KERNEL)?)
    }
}

/// A function that is enabled.
pub struct Enabled(DeviceRef);

impl Drop for Enabled {
    fn drop(&mut self) {
        c::pci_clear_master(&self.0);
        c::pci_disable_device(&self.0);
    }
}

/// The message interrupts of a function.
pub struct Vectors(DeviceRef);

impl Drop for Vectors {
    fn drop(&mut self) {
        // Interrupts in use hold a reference to us.
        c::pci_free_irq_vectors(&self.0);
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
        let irq = c::pci_irq_vector(&vectors.0, index);
        to_result(irq)?;
        let irq = u32::try_from(irq)?;
        // SAFETY: The handler gets what lives until after `free_irq()`; the name lives for ever.
        to_result(unsafe {
            bindings::request_threaded_irq(
                irq,
                None,
                Some(callback2(Self::call)),
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

    extern "C" fn call(_irq: i32, handler: Data<'_, H>) -> bindings::irqreturn_t {
        handler.handle();
        irqreturn(true)
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
            (*raw).probe = Some(callback2(Table::<T>::probe));
            (*raw).remove = Some(callback1(Table::<T>::remove));
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

/// A function that the PCI core binds to a `Registration<T>`, or unbinds from it.
#[repr(transparent)]
struct Matched<'a, T: Driver>(&'a Device, PhantomData<T>);

// SAFETY: The PCI core passes functions that exist, and ours by the registration.
unsafe impl<T: Driver> Receive<*mut bindings::pci_dev> for Matched<'_, T> {}

impl<T: Driver> Matched<'_, T> {
    fn registration(&self) -> &Registration<T> {
        // SAFETY: Our `pci_driver`s are the first field of a registration, which outlives its functions.
        unsafe { &*(*self.0.as_raw()).driver.cast() }
    }

    /// The driver's data, which we own between `probe` and `remove`.
    fn data(&mut self) -> &mut *mut core::ffi::c_void {
        // SAFETY: A driver that is being bound or unbound has this field for itself.
        unsafe { &mut (*self.0.as_raw()).dev.driver_data }
    }
}

/// The C functions of one type of driver.
struct Table<T: Driver>(PhantomData<T>);

impl<T: Driver> Table<T> {
    extern "C" fn probe(mut dev: Matched<'_, T>, _id: *const bindings::pci_device_id) -> i32 {
        from_result(|| {
            let data = dev.registration().instance.probe(&Function(dev.0))?;
            *dev.data() = data.into_foreign();
            Ok(0)
        })
    }

    extern "C" fn remove(mut dev: Matched<'_, T>) {
        // SAFETY: Stored in `probe`, for this.
        drop(unsafe { Pin::<KBox<T::Data>>::from_foreign(*dev.data()) });
    }
}
