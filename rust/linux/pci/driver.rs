// SPDX-License-Identifier: GPL-2.0

//! Drivers of PCI functions: being bound to one, its BARs, and its message interrupts.
//!
//! What a driver gets from a function (bus mastering, vectors, interrupts) belongs to the binding:
//! it ends when the driver is unbound, in reverse order, whatever the driver does with the values
//! that stand for it. Unbinding waits for mapped BARs to be dropped.
//!
//! A function may lose its state while it is bound, see [`Loss`].
//!
//! The kernel crate's `pci::Driver` has another interface in each of the kernels that we support.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)
//!
//! Lock order: [`Vectors`]' table is taken inside of the locks of drivers; interrupts are requested
//! and freed while it is held.

pub use super::recovery::Loss;

use super::recovery::Recovery;
use super::{Device, DeviceExt};
use crate::callback::{Call, Data, FromC, Registered};
use crate::irq::{irqreturn, Requested};
use crate::module::{InUse, Kind};
use crate::object::Object;
use crate::{bindings, mmio};
use core::marker::{PhantomData, PhantomPinned};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use kernel::device::{self, Bound};
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::types::{ForeignOwnable, Opaque};
use kernel::{devres, str::CStr};
use siov_types::PhysAddr;

/// A driver.
///
/// # Examples
///
/// ```ignore
/// impl pci::driver::Driver for MyDriver {
///     type Data = MyDevice;
///     const NAME: &'static CStr = c"my_driver";
///     const ID: (u16, u16) = (0x1234, 0x5678);
///
///     fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<MyDevice>>> {
///         function.enable()?;
///         let registers = function.map_bar(0, c"my_driver")?;
///         Ok(KBox::pin(MyDevice { registers }, GFP_KERNEL)?)
///     }
/// }
/// ```
pub trait Driver: Send + Sync + 'static {
    /// What is kept for a bound function. Dropped when the driver is unbound, before what the
    /// function gave ends.
    type Data: Send + Sync;
    /// As sysfs shows it.
    const NAME: &'static CStr;
    /// Vendor and device.
    const ID: (u16, u16);

    /// Takes a function into use.
    ///
    /// # Errors
    ///
    /// Go to the driver core; the function is not bound then.
    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Self::Data>>>;

    /// The function is about to lose its state, or may have lost it. From now until
    /// [`Self::restore`], it is not to be used, and before sleep it has to end its DMA: an image of
    /// memory may be taken. A driver that keeps no state in its functions needs neither of the
    /// two.
    fn quiesce(_data: Pin<&Self::Data>, _loss: Loss) {}

    /// The function answers again, with its configuration space as it was. Whether it has lost its
    /// state is not known: an error need not lead to a reset, and sleep may be called off. Not
    /// called when it did not recover from an error.
    ///
    /// # Errors
    ///
    /// When it does not work any more. The driver logs that.
    fn restore(_data: Pin<&Self::Data>) -> Result {
        Ok(())
    }
}

/// A function that is being bound: the driver core holds its lock.
pub struct Function<'a>(&'a Device);

impl core::ops::Deref for Function<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.0
    }
}

impl Function<'_> {
    /// The generic device, bound to this driver.
    pub fn bound(&self) -> &device::Device<Bound> {
        // SAFETY: The driver is being bound, so what is registered for the device ends with the
        // binding.
        unsafe { self.0.as_dev().as_bound() }
    }

    /// Lets the function answer to its BARs and begin transactions, until the driver is unbound.
    ///
    /// # Errors
    ///
    /// Those of `pci_enable_device_mem()`, `ENOMEM`.
    pub fn enable(&self) -> Result {
        // SAFETY: The function is being bound.
        to_result(unsafe { bindings::pci_enable_device_mem(self.0.as_raw()) })?;
        let enabled = Enabled(self.0.into());
        // SAFETY: The function is enabled.
        unsafe { bindings::pci_set_master(self.0.as_raw()) };
        devres::register(self.bound(), enabled, GFP_KERNEL)
    }

    /// Where a BAR lies: address and length in bytes.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the function has no such BAR in memory, or firmware gave it no address.
    pub fn bar(&self, index: usize) -> Result<(PhysAddr, u64)> {
        let index = i32::try_from(index)?;
        // SAFETY: The device is valid, and the helper checks the index.
        let start = unsafe { bindings::siov_helper_pci_resource_start(self.0.as_raw(), index) };
        // SAFETY: As above.
        let len = unsafe { bindings::siov_helper_pci_resource_len(self.0.as_raw(), index) };
        if start == 0 || len == 0 {
            return Err(ENODEV);
        }
        Ok((PhysAddr::new(start), len))
    }

    /// Claims a BAR and maps it. Unbinding the driver waits until the result is dropped: the range
    /// may belong to another device later.
    ///
    /// # Errors
    ///
    /// As [`Self::bar`] and [`mmio::Registers::claim`], `ENOMEM`.
    pub fn map_bar(&self, index: usize, name: &'static CStr) -> Result<mmio::Registers> {
        let (start, len) = self.bar(index)?;
        let term = mmio::Term::new()?;
        devres::register(self.bound(), MappedBar(term.clone()), GFP_KERNEL)?;
        // SAFETY: A BAR in memory is a range of registers, of this device until its driver is
        // unbound.
        let registers = unsafe { mmio::Registers::claim(start, len, name) }?;
        Ok(registers.leased(term))
    }

    /// Allocates `count` MSI-X vectors, once.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the function has vectors, `ENOSPC` when there are not as many, `ENOMEM`.
    pub fn alloc_vectors(&self, count: u32) -> Result<Arc<Vectors>> {
        // SAFETY: The device is valid and locked; no reference is made.
        let has_msix = unsafe { bindings::pci_dev::msix_enabled_raw(self.0.as_raw()) };
        if has_msix != 0 {
            return Err(EBUSY);
        }
        let mut lines = KVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            lines.push(None, GFP_KERNEL)?;
        }
        let dev: ARef<Device> = self.0.into();
        // SAFETY: The function is being bound, and has no vectors.
        to_result(unsafe {
            bindings::pci_alloc_irq_vectors(dev.as_raw(), count, count, bindings::PCI_IRQ_MSIX)
        })?;
        let vectors = Arc::pin_init(
            pin_init!(Vectors {
                dev,
                lines <- new_mutex!(Some(lines), "linux::pci vectors"),
            }),
            GFP_KERNEL,
        );
        match vectors {
            Ok(vectors) => {
                devres::register(self.bound(), Allocated(vectors.clone()), GFP_KERNEL)?;
                Ok(vectors)
            }
            Err(e) => {
                // SAFETY: Allocated above, and no interrupt is requested.
                unsafe { bindings::pci_free_irq_vectors(self.0.as_raw()) };
                Err(e)
            }
        }
    }
}

/// A BAR that may be mapped; dropped when the driver is unbound.
struct MappedBar(Arc<mmio::Term>);

impl Drop for MappedBar {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A function that is enabled; dropped when its driver is unbound.
struct Enabled(ARef<Device>);

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: Enabled in `Function::enable`.
        unsafe { bindings::pci_clear_master(self.0.as_raw()) };
        // SAFETY: As above.
        unsafe { bindings::pci_disable_device(self.0.as_raw()) };
    }
}

/// The message interrupts of a function. They are freed when its driver is unbound; from then on,
/// none can be requested.
#[pin_data]
pub struct Vectors {
    dev: ARef<Device>,
    /// The interrupt requested for each vector; `None` once they are freed.
    #[pin]
    lines: Mutex<Option<KVec<Option<Requested>>>>,
}

/// Allocated vectors; dropped when the driver is unbound.
struct Allocated(Arc<Vectors>);

impl Drop for Allocated {
    fn drop(&mut self) {
        // With the lock held, so that whoever drops an interrupt meanwhile waits for its handler,
        // too.
        let mut lines = self.0.lines.lock();
        // Drops what is requested still.
        drop(lines.take());
        // SAFETY: Allocated in `Function::alloc_vectors`, and no interrupt is requested any more.
        unsafe { bindings::pci_free_irq_vectors(self.0.dev.as_raw()) };
    }
}

/// What is called for an interrupt.
pub trait Handler: Send + Sync + 'static {
    /// The interrupt came. Called in a thread of its own.
    fn handle(&self);
}

/// An interrupt in use. Dropping it waits for a running handler; so does unbinding the driver. If
/// it is dropped by its own handler, there is a warning, and the interrupt stays until the driver
/// is unbound. A handler that drops another interrupt of the function waits for ever if its own is
/// being dropped meanwhile.
pub struct Interrupt<H: Handler> {
    vectors: Arc<Vectors>,
    index: usize,
    // As long as the interrupt is requested: dropped after it was freed.
    line: Arc<Line<H>>,
}

/// A handler, and the thread that runs it.
struct Line<H: Handler> {
    handler: Arc<H>,
    /// 0 for none.
    thread: AtomicI32,
}

impl<H: Handler> Interrupt<H> {
    /// Has `handler` called for vector `index`. `name` is what `/proc/interrupts` shows.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the driver has been unbound, `EINVAL` for a vector that there is not, `EBUSY`
    /// for one that is in use, and those of `request_threaded_irq()`.
    pub fn new(
        vectors: &Arc<Vectors>,
        index: u32,
        handler: Arc<H>,
        name: &'static CStr,
    ) -> Result<Self> {
        let mut lines = vectors.lines.lock();
        let lines = (*lines).as_mut().ok_or(ENODEV)?;
        let line = lines.get_mut(index as usize).ok_or(EINVAL)?;
        if line.is_some() {
            return Err(EBUSY);
        }
        // SAFETY: The vectors are allocated, as the list of them shows.
        let irq = unsafe { bindings::pci_irq_vector(vectors.dev.as_raw(), index) };
        to_result(irq)?;
        let state = Line {
            handler,
            thread: AtomicI32::new(0),
        };
        let state = Arc::new(state, GFP_KERNEL)?;
        // SAFETY: The trampoline is for such data, which stays as long as the interrupt is
        // requested: `drop` takes it out of `lines` first, and a value that is not dropped keeps
        // its handler.
        *line = Some(unsafe {
            Requested::new(
                u32::try_from(irq)?,
                None,
                Some(Self::handle_callback),
                bindings::IRQF_ONESHOT as usize,
                name,
                Data::<Line<H>>::cookie(&state),
            )
        }?);
        Ok(Self {
            vectors: vectors.clone(),
            index: index as usize,
            line: state,
        })
    }

    crate::callbacks! {
        /// The thread of an interrupt, `irqaction::thread_fn`.
        ///
        /// # Safety
        ///
        /// For interrupts that `new` requests, whose data stays until they are freed.
        unsafe fn handle_callback(_irq: i32 => i32, line: *mut core::ffi::c_void => Data<'_, Line<H>>)
            -> bindings::irqreturn_t = Self::handle;
    }

    fn handle(_irq: i32, line: Data<'_, Line<H>>) -> bindings::irqreturn_t {
        // An interrupt has one thread.
        line.thread.store(current!().pid(), Ordering::Relaxed);
        line.handler.handle();
        line.thread.store(0, Ordering::Relaxed);
        irqreturn(true)
    }
}

impl<H: Handler> Registered for Line<H> {
    type Data = Self;
}

impl<H: Handler> Drop for Interrupt<H> {
    fn drop(&mut self) {
        let is_own_thread = self.line.thread.load(Ordering::Relaxed) == current!().pid();
        if kernel::warn_on!(is_own_thread) {
            // It is in use until after we return, and after that until it is freed.
            core::mem::forget(self.line.clone());
            return;
        }
        let mut lines = self.vectors.lines.lock();
        // Frees it, if that has not been done when the driver was unbound.
        let line = (*lines)
            .as_mut()
            .and_then(|lines| lines.get_mut(self.index));
        drop(line.and_then(Option::take));
    }
}

/// A registered driver. Dropping it unbinds it from all functions.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Registration<T: Driver> {
    driver: Opaque<bindings::pci_driver>,
    // What `id_table` points to, with an empty entry at the end.
    ids: [bindings::pci_device_id; 2],
    registered: AtomicBool,
    instance: T,
    #[pin]
    _pin: PhantomPinned,
    _in_use: InUse,
}

// SAFETY: The C structure belongs to the driver core, which locks it; `T` is `Send`.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: As above, and `T` is `Sync`.
unsafe impl<T: Driver> Sync for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Registers `instance`, whose code is of `module`.
    ///
    /// # Errors
    ///
    /// Those of `pci_register_driver()`, `ENOMEM`.
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
                registered: AtomicBool::new(false),
                instance,
                _pin: PhantomPinned,
                _in_use: InUse::new(Kind::PciDriver),
            }),
            GFP_KERNEL,
        )?;
        let raw = this.driver.get();
        let driver = bindings::pci_driver {
            name: T::NAME.as_char_ptr(),
            id_table: this.ids.as_ptr(),
            probe: Some(Adapter::<T>::probe_callback),
            remove: Some(Adapter::<T>::remove_callback),
            err_handler: Recovery::<T>::HANDLERS,
            driver: bindings::device_driver {
                pm: Recovery::<T>::POWER,
                ..Default::default()
            },
            ..Default::default()
        };
        // SAFETY: The structure is ours until it is registered.
        unsafe { raw.write(driver) };
        // SAFETY: The structure stays where it is until `drop` has unregistered it, and names live
        // for ever.
        to_result(unsafe {
            bindings::__pci_register_driver(raw, module.as_ptr(), T::NAME.as_char_ptr())
        })?;
        this.registered.store(true, Ordering::Relaxed);
        Ok(this)
    }
}

#[pinned_drop]
impl<T: Driver> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.registered.load(Ordering::Relaxed) {
            // SAFETY: Registered in `new`.
            unsafe { bindings::pci_unregister_driver(self.driver.get()) };
        }
    }
}

/// A function that the PCI core binds to a `Registration<T>`, or unbinds from it, with its lock
/// held until the call ends. `pci_dev::driver` is that of the registration.
pub(super) struct Matched<'call, T: Driver>(&'call Device, PhantomData<T>);

impl<'call, T: Driver> FromC<'call, *mut bindings::pci_dev> for Matched<'call, T> {
    unsafe fn from_c(dev: *mut bindings::pci_dev, _call: &'call Call) -> Self {
        // SAFETY: As required of us, and an object is at the address of its structure.
        Self(unsafe { &*dev.cast() }, PhantomData)
    }
}

impl<T: Driver> Matched<'_, T> {
    /// The function.
    pub(super) fn device(&self) -> &Device {
        self.0
    }

    fn registration(&self) -> &Registration<T> {
        // SAFETY: The device is valid and locked.
        let driver = unsafe { (*self.0.as_raw()).driver };
        // SAFETY: It is the first field of a registration, which outlives its functions.
        unsafe { &*driver.cast() }
    }
}

/// The C functions of one type of driver.
struct Adapter<T: Driver>(PhantomData<T>);

impl<T: Driver> Adapter<T> {
    crate::callbacks! {
        /// `pci_driver::probe`.
        ///
        /// # Safety
        ///
        /// For drivers that `Registration::<T>::new` registers: the PCI core sets `pci_dev::driver`
        /// before.
        unsafe fn probe_callback(
            dev: *mut bindings::pci_dev => Matched<'_, T>,
            _id: *const bindings::pci_device_id => *const bindings::pci_device_id,
        ) -> i32 = Self::probe;

        /// `pci_driver::remove`.
        ///
        /// # Safety
        ///
        /// As for `probe_callback`, once for each function for which that succeeded.
        unsafe fn remove_callback(dev: *mut bindings::pci_dev => Bindee<'_, T>) = Self::remove;
    }

    fn probe(dev: Matched<'_, T>, _id: *const bindings::pci_device_id) -> i32 {
        from_result(|| {
            let data = dev.registration().instance.probe(&Function(dev.0))?;
            // SAFETY: The device is locked, and the field is its driver's.
            unsafe { (*dev.0.as_raw()).dev.driver_data = data.into_foreign() };
            Recovery::<T>::save(dev.0);
            Ok(0)
        })
    }

    fn remove(dev: Bindee<'_, T>) {
        drop(dev.take_data());
    }
}

/// A function that is being unbound: [`Matched`], and `driver_data` is what `probe` stored.
struct Bindee<'call, T: Driver>(Matched<'call, T>);

impl<'call, T: Driver> FromC<'call, *mut bindings::pci_dev> for Bindee<'call, T> {
    unsafe fn from_c(dev: *mut bindings::pci_dev, call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { Matched::from_c(dev, call) })
    }
}

impl<T: Driver> Bindee<'_, T> {
    fn take_data(self) -> Pin<KBox<T::Data>> {
        let dev = self.0 .0.as_raw();
        // SAFETY: The device is locked, and the field is its driver's.
        let data =
            unsafe { core::mem::replace(&mut (*dev).dev.driver_data, core::ptr::null_mut()) };
        // SAFETY: `probe` stored it, and `self`, of which there is one for each success of `probe`,
        // is consumed.
        unsafe { Pin::<KBox<T::Data>>::from_foreign(data) }
    }
}
