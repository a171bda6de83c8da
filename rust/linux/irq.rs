// SPDX-License-Identifier: GPL-2.0

//! Interrupts that a device raises by writing a message which it holds in registers of its own, as
//! remapping units do. An interrupt domain of one, below the CPU vectors, so that affinity and CPU
//! hotplug work as for any other interrupt.
//!
//! C: `dmar_alloc_hwirq()` in `arch/x86/kernel/apic/msi.c`, which modules cannot call.

use crate::abi::{callback1, callback2, callback3, callback4, Data, Object};
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// The C functions called here.
mod c {
    use super::{Domain, IrqData};
    use crate::bindings;

    // SAFETY: These take numbers, and strings that they copy.
    crate::c_functions!(unsafe {
        pub(super) fn siov_helper_irq_domain_alloc_fwnode(
            name: &super::CStr,
        ) -> *mut bindings::fwnode_handle;
        pub(super) fn siov_helper_irqreturn(handled: bool) -> bindings::irqreturn_t;
    });

    // SAFETY: These want an interrupt of a domain below the CPU vectors, whose data they are given, as they
    // are by the interrupt core only.
    crate::c_functions!(unsafe {
        pub(super) fn irq_domain_alloc_irqs_parent(
            domain: &Domain,
            irq: u32,
            count: u32,
            info: *mut core::ffi::c_void,
        ) -> i32;
        pub(super) fn irq_chip_set_affinity_parent(
            data: &IrqData,
            mask: *const bindings::cpumask,
            force: bool,
        ) -> i32;
        pub(super) fn siov_helper_compose_dmar_msg(
            irq: &IrqData,
            address_low: &mut u32,
            address_high: &mut u32,
            data: &mut u32,
        );
    });
}

/// What an interrupt handler returns.
pub(crate) fn irqreturn(handled: bool) -> bindings::irqreturn_t {
    c::siov_helper_irqreturn(handled)
}

/// A `struct irq_domain` of ours.
#[repr(transparent)]
struct Domain(Opaque<bindings::irq_domain>);

// SAFETY: A transparent `Opaque`, initialised by the interrupt core.
unsafe impl Object<bindings::irq_domain> for Domain {}

/// The `struct irq_data` of an interrupt in a domain of ours.
#[repr(transparent)]
struct IrqData(Opaque<bindings::irq_data>);

// SAFETY: A transparent `Opaque`, initialised by the interrupt core.
unsafe impl Object<bindings::irq_data> for IrqData {}

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

    /// Holds interrupts back, or lets them through.
    fn set_masked(&self, masked: bool);

    /// The interrupt happened. Returns whether the device had a reason for it.
    fn handle(&self) -> bool;
}

/// A message interrupt in use. Dropping it waits for a running handler and frees the vector.
pub struct MessageInterrupt<T: MessageSource> {
    source: Arc<T>,
    domain: NonNull<bindings::irq_domain>,
    fwnode: NonNull<bindings::fwnode_handle>,
    irq: u32,
    requested: bool,
}

// SAFETY: The C objects are owned and only touched in `new` and `drop`.
unsafe impl<T: MessageSource> Send for MessageInterrupt<T> {}
// SAFETY: As above.
unsafe impl<T: MessageSource> Sync for MessageInterrupt<T> {}

impl<T: MessageSource> MessageInterrupt<T> {
    /// Allocates a vector for `source`, stores its message there and unmasks it. `name` is what
    /// `/proc/interrupts` shows.
    pub fn new(source: Arc<T>, name: &'static CStr) -> Result<Self> {
        let fwnode = c::siov_helper_irq_domain_alloc_fwnode(name);
        let fwnode = NonNull::new(fwnode).ok_or(ENOMEM)?;

        let info = bindings::irq_domain_info {
            fwnode: fwnode.as_ptr(),
            size: 1,
            hwirq_max: 1,
            ops: Table::<T>::DOMAIN_OPS,
            host_data: Arc::as_ptr(&source).cast_mut().cast(),
            // SAFETY: Set once at boot.
            parent: unsafe { bindings::x86_vector_domain },
            ..Default::default()
        };
        // SAFETY: All that `info` points to outlives the domain: the operations are constant, and
        // `source` is kept next to it.
        let domain = unsafe { bindings::irq_domain_instantiate(&raw const info) };
        let domain = match kernel::error::from_err_ptr(domain).map(NonNull::new) {
            Ok(Some(domain)) => domain,
            other => {
                // SAFETY: Allocated above, used by nobody.
                unsafe { bindings::irq_domain_free_fwnode(fwnode.as_ptr()) };
                return Err(other.err().unwrap_or(ENOMEM));
            }
        };
        let mut this = Self {
            source,
            domain,
            fwnode,
            irq: 0,
            requested: false,
        };

        let mut alloc = bindings::irq_alloc_info {
            type_: bindings::irq_alloc_type_X86_IRQ_ALLOC_TYPE_DMAR,
            ..Default::default()
        };
        // SAFETY: The domain has just been made, and takes an `irq_alloc_info` as the vector domain
        // above it does.
        let irq = unsafe {
            bindings::__irq_domain_alloc_irqs(
                this.domain.as_ptr(),
                -1,
                1,
                bindings::NUMA_NO_NODE,
                (&raw mut alloc).cast(),
                false,
                core::ptr::null(),
            )
        };
        to_result(irq)?;
        this.irq = u32::try_from(irq)?;

        // SAFETY: The handler is given the source, which lives until after `free_irq()`.
        to_result(unsafe {
            bindings::request_threaded_irq(
                this.irq,
                Some(callback2(Table::<T>::handle)),
                None,
                bindings::IRQF_NO_THREAD as usize,
                name.as_char_ptr(),
                this.cookie(),
            )
        })?;
        this.requested = true;
        Ok(this)
    }

    fn cookie(&self) -> *mut core::ffi::c_void {
        Arc::as_ptr(&self.source).cast_mut().cast()
    }

    /// Stores the message once more, after the device has lost its registers.
    pub fn restore(&self) {
        // SAFETY: The interrupt is allocated.
        let data = unsafe { bindings::irq_get_irq_data(self.irq) };
        // SAFETY: It is that of an interrupt of ours, or null.
        if let Some(data) = unsafe { data.cast::<IrqData>().as_ref() } {
            self.source.set_message(data.compose());
            self.source.set_masked(false);
        }
    }
}

impl<T: MessageSource> Drop for MessageInterrupt<T> {
    fn drop(&mut self) {
        // SAFETY: Each was allocated in `new`, and is freed once, in reverse order.
        unsafe {
            if self.requested {
                bindings::free_irq(self.irq, self.cookie());
            }
            if self.irq != 0 {
                bindings::irq_domain_free_irqs(self.irq, 1);
            }
            bindings::irq_domain_remove(self.domain.as_ptr());
            bindings::irq_domain_free_fwnode(self.fwnode.as_ptr());
        }
    }
}

impl IrqData {
    /// The message that makes the CPU see the interrupt; it has a vector.
    fn compose(&self) -> Message {
        let (mut address_low, mut address_high, mut data) = (0, 0, 0);
        c::siov_helper_compose_dmar_msg(self, &mut address_low, &mut address_high, &mut data);
        Message {
            address_low,
            address_high,
            data,
        }
    }
}

/// The C functions of one type of source.
struct Table<T: MessageSource>(PhantomData<T>);

impl<T: MessageSource> Table<T> {
    const DOMAIN_OPS: &'static bindings::irq_domain_ops = &bindings::irq_domain_ops {
        alloc: Some(callback4(Self::alloc)),
        free: Some(bindings::irq_domain_free_irqs_common),
        activate: Some(callback3(Self::activate)),
        deactivate: Some(callback2(Self::deactivate)),
        ..pin_init::zeroed()
    };

    // Kernel code takes `as_char_ptr()`, which is not const.
    #[allow(clippy::disallowed_methods)]
    const CHIP: &'static bindings::irq_chip = &bindings::irq_chip {
        name: c"DMAR-MSI".as_ptr().cast(),
        irq_mask: Some(callback1(Self::mask)),
        irq_unmask: Some(callback1(Self::unmask)),
        irq_ack: Some(bindings::irq_chip_ack_parent),
        irq_set_affinity: Some(callback3(Self::set_affinity)),
        irq_retrigger: Some(bindings::irq_chip_retrigger_hierarchy),
        flags: (bindings::IRQCHIP_SKIP_SET_WAKE
            | bindings::IRQCHIP_AFFINITY_PRE_STARTUP
            | bindings::IRQCHIP_MOVE_DEFERRED) as usize,
        ..pin_init::zeroed()
    };

    fn source(irq: &IrqData) -> &T {
        // SAFETY: `alloc` stored it; it outlives the interrupt.
        unsafe { &*(*irq.as_raw()).chip_data.cast() }
    }

    extern "C" fn alloc(
        domain: &Domain,
        virq: u32,
        count: u32,
        info: *mut core::ffi::c_void,
    ) -> i32 {
        let err = c::irq_domain_alloc_irqs_parent(domain, virq, count, info);
        if err < 0 {
            return err;
        }
        // SAFETY: The interrupt has just been allocated, and all that it is given lives for ever, but for
        // the source, which outlives the domain.
        unsafe {
            bindings::irq_domain_set_info(
                domain.as_raw(),
                virq,
                0,
                Self::CHIP,
                (*domain.as_raw()).host_data,
                Some(bindings::handle_edge_irq),
                core::ptr::null_mut(),
                c"edge".as_char_ptr(),
            )
        };
        0
    }

    /// The vector above has been activated.
    extern "C" fn activate(_domain: &Domain, irq: &IrqData, _early: bool) -> i32 {
        Self::source(irq).set_message(irq.compose());
        0
    }

    extern "C" fn deactivate(_domain: &Domain, irq: &IrqData) {
        Self::source(irq).set_masked(true);
    }

    extern "C" fn mask(irq: &IrqData) {
        Self::source(irq).set_masked(true);
    }

    extern "C" fn unmask(irq: &IrqData) {
        Self::source(irq).set_masked(false);
    }

    extern "C" fn set_affinity(irq: &IrqData, mask: *const bindings::cpumask, force: bool) -> i32 {
        let ret = c::irq_chip_set_affinity_parent(irq, mask, force);
        if ret >= 0 && ret != bindings::IRQ_SET_MASK_OK_DONE as i32 {
            Self::source(irq).set_message(irq.compose());
        }
        ret
    }

    extern "C" fn handle(_irq: i32, source: Data<'_, T>) -> bindings::irqreturn_t {
        irqreturn(source.handle())
    }
}
