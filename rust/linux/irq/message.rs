// SPDX-License-Identifier: GPL-2.0

//! Interrupts that a device raises by writing a message which it holds in registers of its own, as
//! remapping units do. An interrupt domain of one, below the CPU vectors, so that affinity and CPU
//! hotplug work as for any other interrupt.
//!
//! C: `dmar_alloc_hwirq()` in `arch/x86/kernel/apic/msi.c`, which modules cannot call.

use super::{irqreturn, off_when_dropped, Requested};
use crate::bindings;
use crate::callback::{Call, Data, FromC, Registered};
use crate::object::Object;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// An interrupt message: what to write where.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Address bits 31:0.
    pub address_low: u32,
    /// Address bits 63:32.
    pub address_high: u32,
    /// The value.
    pub data: u32,
}

/// The device side of a message interrupt, and its handler. All functions are called with
/// interrupts off.
pub trait MessageSource: Send + Sync + 'static {
    /// Stores the message in the device; called with the interrupt masked or about to be unmasked,
    /// and when the interrupt moves to another CPU.
    fn set_message(&self, message: Message);

    /// Masks or unmasks the interrupt in the device.
    fn set_masked(&self, masked: bool);

    /// The interrupt happened. Returns whether the device had a reason for it.
    fn handle(&self) -> bool;
}

/// A message interrupt in use. Dropping it waits for a running handler and frees the vector. It
/// stays with a warning, and is never freed, if it is dropped with interrupts off: that may be in a
/// function of its own source.
pub struct MessageInterrupt<T: MessageSource>(ManuallyDrop<Active<T>>);

struct Active<T: MessageSource> {
    // In the order in which they are freed.
    _requested: Requested,
    irq: AllocatedIrq,
    _domain: OwnedDomain,
    _fwnode: Fwnode,
    source: Arc<T>,
}

/// A firmware node that names an interrupt domain.
struct Fwnode(NonNull<bindings::fwnode_handle>);

// SAFETY: Used by whoever owns it, in any thread.
unsafe impl Send for Fwnode {}
// SAFETY: There is nothing that a reference allows.
unsafe impl Sync for Fwnode {}

impl Fwnode {
    fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is a C string, which is copied.
        let node = unsafe { bindings::siov_helper_irq_domain_alloc_fwnode(name.as_char_ptr()) };
        NonNull::new(node).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Fwnode {
    fn drop(&mut self) {
        // SAFETY: Allocated in `new`, and its domain has been removed.
        unsafe { bindings::irq_domain_free_fwnode(self.0.as_ptr()) };
    }
}

/// An interrupt domain.
struct OwnedDomain(NonNull<bindings::irq_domain>);

// SAFETY: Used by whoever owns it, in any thread.
unsafe impl Send for OwnedDomain {}
// SAFETY: There is nothing that a reference allows.
unsafe impl Sync for OwnedDomain {}

impl Drop for OwnedDomain {
    fn drop(&mut self) {
        // SAFETY: Instantiated in `MessageInterrupt::new`, and its interrupt has been freed.
        unsafe { bindings::irq_domain_remove(self.0.as_ptr()) };
    }
}

/// An interrupt of a domain of ours.
struct AllocatedIrq(u32);

impl AllocatedIrq {
    fn new(domain: &OwnedDomain) -> Result<Self> {
        let mut info = bindings::irq_alloc_info {
            type_: bindings::irq_alloc_type_X86_IRQ_ALLOC_TYPE_DMAR,
            ..Default::default()
        };
        // SAFETY: The domain takes an `irq_alloc_info`, as the vector domain above it does.
        let irq = unsafe {
            bindings::__irq_domain_alloc_irqs(
                domain.0.as_ptr(),
                -1,
                1,
                bindings::NUMA_NO_NODE,
                (&raw mut info).cast(),
                false,
                core::ptr::null(),
            )
        };
        to_result(irq)?;
        Ok(Self(u32::try_from(irq)?))
    }
}

impl Drop for AllocatedIrq {
    fn drop(&mut self) {
        // SAFETY: Allocated in `new`, and it is not requested any more.
        unsafe { bindings::irq_domain_free_irqs(self.0, 1) };
    }
}

impl<T: MessageSource> MessageInterrupt<T> {
    /// Allocates a vector for `source`, stores its message there and unmasks it. `name` is what
    /// `/proc/interrupts` shows.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` without a free vector.
    pub fn new(source: Arc<T>, name: &'static CStr) -> Result<Self> {
        let fwnode = Fwnode::new(name)?;
        let info = bindings::irq_domain_info {
            fwnode: fwnode.0.as_ptr(),
            size: 1,
            hwirq_max: 1,
            ops: Adapter::<T>::DOMAIN_OPS,
            host_data: Data::<Self>::cookie(&source),
            // SAFETY: Set once at boot.
            parent: unsafe { bindings::x86_vector_domain },
            ..Default::default()
        };
        // SAFETY: What `info` points to outlives the domain: the operations are constant, `source`
        // and `fwnode` are dropped after it.
        let domain = from_err_ptr(unsafe { bindings::irq_domain_instantiate(&raw const info) })?;
        let domain = OwnedDomain(NonNull::new(domain).ok_or(ENOMEM)?);
        let irq = AllocatedIrq::new(&domain)?;
        // SAFETY: The trampoline is for such data, which is dropped after the interrupt is freed,
        // and so is the interrupt's number.
        let requested = unsafe {
            Requested::new(
                irq.0,
                Some(Adapter::<T>::handle_callback),
                None,
                bindings::IRQF_NO_THREAD as usize,
                name,
                Data::<Self>::cookie(&source),
            )
        }?;
        Ok(Self(ManuallyDrop::new(Active {
            _requested: requested,
            irq,
            _domain: domain,
            _fwnode: fwnode,
            source,
        })))
    }

    /// Stores the message once more, after the device has lost its registers.
    pub fn restore(&self) {
        // SAFETY: Takes any number.
        let data = unsafe { bindings::irq_get_irq_data(self.0.irq.0) };
        // SAFETY: The interrupt is allocated as long as `self` is, and so is its data.
        if let Some(data) = unsafe { data.cast::<IrqData>().as_ref() } {
            self.0.source.set_message(data.compose());
            self.0.source.set_masked(false);
        }
    }
}

impl<T: MessageSource> Drop for MessageInterrupt<T> {
    fn drop(&mut self) {
        if !off_when_dropped() {
            // SAFETY: Not used after this.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

impl<T: MessageSource> Registered for MessageInterrupt<T> {
    type Data = T;
}

/// A `struct irq_domain` that `MessageInterrupt::new` instantiated.
#[repr(transparent)]
struct Domain(Opaque<bindings::irq_domain>);

// SAFETY: A transparent `Opaque`, initialised by the interrupt core.
unsafe impl Object<bindings::irq_domain> for Domain {}

/// The `struct irq_data` of an interrupt in such a domain.
#[repr(transparent)]
struct IrqData(Opaque<bindings::irq_data>);

// SAFETY: A transparent `Opaque`, initialised by the interrupt core.
unsafe impl Object<bindings::irq_data> for IrqData {}

impl IrqData {
    /// The message that makes the CPU see the interrupt.
    fn compose(&self) -> Message {
        let (mut address_low, mut address_high, mut data) = (0, 0, 0);
        // SAFETY: The data is that of an interrupt below the CPU vectors, which has a vector.
        unsafe {
            bindings::siov_helper_compose_dmar_msg(
                self.as_raw(),
                &raw mut address_low,
                &raw mut address_high,
                &raw mut data,
            )
        };
        Message {
            address_low,
            address_high,
            data,
        }
    }
}

/// An interrupt of a domain for `T`, in a callback of its chip: its `chip_data` is a `T` that stays
/// until the call ends.
struct Line<'call, T: MessageSource> {
    irq: &'call IrqData,
    source: &'call T,
}

impl<'call, T: MessageSource> FromC<'call, *mut bindings::irq_data> for Line<'call, T> {
    unsafe fn from_c(irq: *mut bindings::irq_data, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        let source = unsafe { (*irq).chip_data };
        Self {
            // SAFETY: As required of us, and an object is at the address of its structure.
            irq: unsafe { &*irq.cast() },
            // SAFETY: As required of us.
            source: unsafe { &*source.cast() },
        }
    }
}

/// The C functions for one type of source.
struct Adapter<T: MessageSource>(PhantomData<T>);

impl<T: MessageSource> Adapter<T> {
    const DOMAIN_OPS: &'static bindings::irq_domain_ops = &bindings::irq_domain_ops {
        alloc: Some(Self::alloc_callback),
        free: Some(bindings::irq_domain_free_irqs_common),
        activate: Some(Self::activate_callback),
        deactivate: Some(Self::deactivate_callback),
        ..pin_init::zeroed()
    };

    // Kernel code takes `as_char_ptr()`, which is not const.
    #[allow(clippy::disallowed_methods)]
    const CHIP: &'static bindings::irq_chip = &bindings::irq_chip {
        name: c"DMAR-MSI".as_ptr().cast(),
        irq_mask: Some(Self::mask_callback),
        irq_unmask: Some(Self::unmask_callback),
        irq_ack: Some(bindings::irq_chip_ack_parent),
        irq_set_affinity: Some(Self::set_affinity_callback),
        irq_retrigger: Some(bindings::irq_chip_retrigger_hierarchy),
        flags: (bindings::IRQCHIP_SKIP_SET_WAKE
            | bindings::IRQCHIP_AFFINITY_PRE_STARTUP
            | bindings::IRQCHIP_MOVE_DEFERRED) as usize,
        ..pin_init::zeroed()
    };

    crate::callbacks! {
        /// `irq_domain_ops::activate`, after the vector above was activated.
        ///
        /// # Safety
        ///
        /// For the domain of a `MessageInterrupt<T>`, whose `alloc` has set the data of its
        /// interrupt.
        unsafe fn activate_callback(
            _domain: *mut bindings::irq_domain => &Domain,
            irq: *mut bindings::irq_data => Line<'_, T>,
            _early: bool => bool,
        ) -> i32 = Self::activate;

        /// `irq_domain_ops::deactivate`.
        ///
        /// # Safety
        ///
        /// As for `activate_callback`.
        unsafe fn deactivate_callback(
            _domain: *mut bindings::irq_domain => &Domain,
            irq: *mut bindings::irq_data => Line<'_, T>,
        ) = Self::deactivate;

        /// `irq_chip::irq_mask`.
        ///
        /// # Safety
        ///
        /// For interrupts that `alloc` has given this chip.
        unsafe fn mask_callback(irq: *mut bindings::irq_data => Line<'_, T>) = Self::mask;

        /// `irq_chip::irq_unmask`.
        ///
        /// # Safety
        ///
        /// As for `mask_callback`.
        unsafe fn unmask_callback(irq: *mut bindings::irq_data => Line<'_, T>) = Self::unmask;

        /// The handler of the interrupt, `irqaction::handler`.
        ///
        /// # Safety
        ///
        /// For interrupts that `MessageInterrupt::<T>::new` requests, whose source stays until they
        /// are freed.
        unsafe fn handle_callback(
            _irq: i32 => i32,
            source: *mut c_void => Data<'_, MessageInterrupt<T>>,
        ) -> bindings::irqreturn_t = Self::handle;
    }

    /// `irq_domain_ops::alloc`.
    ///
    /// # Safety
    ///
    /// For the domain of a `MessageInterrupt<T>`, with what the vector domain above takes as
    /// `info`.
    unsafe extern "C" fn alloc_callback(
        domain: *mut bindings::irq_domain,
        virq: u32,
        count: u32,
        info: *mut c_void,
    ) -> i32 {
        // SAFETY: As required of us.
        let err = unsafe { bindings::irq_domain_alloc_irqs_parent(domain, virq, count, info) };
        if err < 0 {
            return err;
        }
        // SAFETY: The domain is valid, and its data constant.
        let source = unsafe { (*domain).host_data };
        // SAFETY: The interrupt has just been allocated. What it is given lives for ever, but for
        // the source, which outlives the domain.
        unsafe {
            bindings::irq_domain_set_info(
                domain,
                virq,
                0,
                Self::CHIP,
                source,
                Some(bindings::handle_edge_irq),
                core::ptr::null_mut(),
                c"edge".as_char_ptr(),
            )
        };
        0
    }

    /// `irq_chip::irq_set_affinity`.
    ///
    /// # Safety
    ///
    /// As for `mask_callback`, with a valid `mask`.
    unsafe extern "C" fn set_affinity_callback(
        irq: *mut bindings::irq_data,
        mask: *const bindings::cpumask,
        force: bool,
    ) -> i32 {
        // SAFETY: As required of us; the interrupt has the vector domain above it.
        let ret = unsafe { bindings::irq_chip_set_affinity_parent(irq, mask, force) };
        if ret >= 0 && ret != bindings::IRQ_SET_MASK_OK_DONE as i32 {
            let call = Call::new();
            // SAFETY: As required of us.
            let line = unsafe { Line::<T>::from_c(irq, &call) };
            line.source.set_message(line.irq.compose());
        }
        ret
    }

    fn activate(_domain: &Domain, line: Line<'_, T>, _early: bool) -> i32 {
        line.source.set_message(line.irq.compose());
        0
    }

    fn deactivate(_domain: &Domain, line: Line<'_, T>) {
        line.source.set_masked(true);
    }

    fn mask(line: Line<'_, T>) {
        line.source.set_masked(true);
    }

    fn unmask(line: Line<'_, T>) {
        line.source.set_masked(false);
    }

    fn handle(_irq: i32, source: Data<'_, MessageInterrupt<T>>) -> bindings::irqreturn_t {
        irqreturn(source.handle())
    }
}
