// SPDX-License-Identifier: GPL-2.0

//! Functions that lose their state while a driver is bound: by a reset, by recovery from an error
//! that they or their link reported (AER), and by sleep.
//!
//! The PCI core calls all of this with the function's lock held, so no driver is bound or unbound
//! meanwhile.
//!
//! C: `struct pci_error_handlers` in [`include/linux/pci.h`](srctree/include/linux/pci.h),
//! `Documentation/PCI/pci-error-recovery.rst`.

use super::driver::{Driver, Matched};
use super::Device;
use crate::bindings;
use crate::callback::{Call, FromC};
use crate::object::Object;
use core::marker::PhantomData;
use core::mem::offset_of;
use kernel::prelude::*;
use kernel::types::ForeignOwnable;

/// Why a function loses its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// It is going to be reset.
    Reset,
    /// It, or the way to it, reported an error. Registers may read as all ones.
    Error,
    /// The machine is going to sleep.
    Sleep,
}

/// A function of a driver of ours: [`Matched`], bound, and `driver_data` is what `probe` stored.
struct BoundTo<'call, T: Driver>(Matched<'call, T>);

impl<'call, T: Driver> FromC<'call, *mut bindings::pci_dev> for BoundTo<'call, T> {
    unsafe fn from_c(dev: *mut bindings::pci_dev, call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { Matched::from_c(dev, call) })
    }
}

/// As above, of the generic device.
impl<'call, T: Driver> FromC<'call, *mut bindings::device> for BoundTo<'call, T> {
    unsafe fn from_c(dev: *mut bindings::device, call: &'call Call) -> Self {
        let pci: *mut bindings::pci_dev = dev
            .wrapping_byte_sub(offset_of!(bindings::pci_dev, dev))
            .cast();
        // SAFETY: As required of us: the generic device of a function lies in it.
        Self(unsafe { Matched::from_c(pci, call) })
    }
}

impl<T: Driver> BoundTo<'_, T> {
    fn dev(&self) -> &Device {
        self.0.device()
    }

    fn data(&self) -> Pin<&T::Data> {
        // SAFETY: The device is locked, and the field is its driver's.
        let data = unsafe { (*self.dev().as_raw()).dev.driver_data };
        // SAFETY: `probe` stored it, and it is taken out when the driver is unbound, which waits
        // for the lock.
        unsafe { Pin::<KBox<T::Data>>::borrow(data) }
    }
}

/// No operation.
// SAFETY: A table of function pointers, each of which may be NULL.
const NONE: bindings::dev_pm_ops = unsafe { core::mem::zeroed() };

/// The C functions of one type of driver.
pub(super) struct Recovery<T: Driver>(PhantomData<T>);

impl<T: Driver> Recovery<T> {
    /// For resets and errors.
    pub(super) const HANDLERS: &'static bindings::pci_error_handlers =
        &bindings::pci_error_handlers {
            error_detected: Some(Self::error_detected_callback),
            mmio_enabled: None,
            slot_reset: Some(Self::slot_reset_callback),
            reset_prepare: Some(Self::reset_prepare_callback),
            reset_done: Some(Self::reset_done_callback),
            resume: Some(Self::resume_callback),
            cor_error_detected: None,
        };

    /// For sleep, suspended to memory or to disk.
    pub(super) const POWER: &'static bindings::dev_pm_ops = &bindings::dev_pm_ops {
        suspend: Some(Self::sleep_callback),
        resume: Some(Self::wake_callback),
        freeze: Some(Self::sleep_callback),
        thaw: Some(Self::wake_callback),
        poweroff: Some(Self::sleep_callback),
        restore: Some(Self::wake_callback),
        ..NONE
    };

    /// Saves the configuration of a function that has been bound, to restore it after an error.
    pub(super) fn save(dev: &Device) {
        // SAFETY: The device is valid, and locked while it is being bound.
        unsafe { bindings::pci_save_state(dev.as_raw()) };
    }

    crate::callbacks! {
        /// `pci_error_handlers::error_detected`.
        ///
        /// # Safety
        ///
        /// For drivers that `Registration::<T>::new` registers: the PCI core calls it for functions
        /// that are bound, with their lock held.
        unsafe fn error_detected_callback(
            dev: *mut bindings::pci_dev => BoundTo<'_, T>,
            state: bindings::pci_channel_state_t => u32,
        ) -> bindings::pci_ers_result_t = Self::error_detected;

        /// `pci_error_handlers::slot_reset`.
        ///
        /// # Safety
        ///
        /// As for `error_detected_callback`.
        unsafe fn slot_reset_callback(dev: *mut bindings::pci_dev => BoundTo<'_, T>)
            -> bindings::pci_ers_result_t = Self::slot_reset;

        /// `pci_error_handlers::resume`.
        ///
        /// # Safety
        ///
        /// As for `error_detected_callback`.
        unsafe fn resume_callback(dev: *mut bindings::pci_dev => BoundTo<'_, T>) = Self::done;

        /// `pci_error_handlers::reset_prepare`.
        ///
        /// # Safety
        ///
        /// As for `error_detected_callback`.
        unsafe fn reset_prepare_callback(dev: *mut bindings::pci_dev => BoundTo<'_, T>)
            = Self::reset_prepare;

        /// `pci_error_handlers::reset_done`.
        ///
        /// # Safety
        ///
        /// As for `error_detected_callback`.
        unsafe fn reset_done_callback(dev: *mut bindings::pci_dev => BoundTo<'_, T>) = Self::done;

        /// `dev_pm_ops::suspend` and those for hibernation.
        ///
        /// # Safety
        ///
        /// As for `error_detected_callback`, of the core of power management.
        unsafe fn sleep_callback(dev: *mut bindings::device => BoundTo<'_, T>) -> i32 = Self::sleep;

        /// `dev_pm_ops::resume` and those for hibernation.
        ///
        /// # Safety
        ///
        /// As for `sleep_callback`.
        unsafe fn wake_callback(dev: *mut bindings::device => BoundTo<'_, T>) -> i32 = Self::wake;
    }

    fn error_detected(dev: BoundTo<'_, T>, state: u32) -> bindings::pci_ers_result_t {
        T::quiesce(dev.data(), Loss::Error);
        match state {
            bindings::pci_channel_io_normal => bindings::pci_ers_result_PCI_ERS_RESULT_CAN_RECOVER,
            bindings::pci_channel_io_perm_failure => {
                bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
            }
            _ => bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET,
        }
    }

    fn slot_reset(dev: BoundTo<'_, T>) -> bindings::pci_ers_result_t {
        // SAFETY: The device is valid and locked, and its state was saved when it was bound.
        unsafe { bindings::pci_restore_state(dev.dev().as_raw()) };
        // For the next time: that used up what was saved.
        Self::save(dev.dev());
        bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED
    }

    fn reset_prepare(dev: BoundTo<'_, T>) {
        T::quiesce(dev.data(), Loss::Reset);
    }

    fn done(dev: BoundTo<'_, T>) {
        // The driver has said so; nobody else can be told.
        let _ = T::restore(dev.data());
    }

    fn sleep(dev: BoundTo<'_, T>) -> i32 {
        T::quiesce(dev.data(), Loss::Sleep);
        0
    }

    fn wake(dev: BoundTo<'_, T>) -> i32 {
        T::restore(dev.data()).map_or_else(Error::to_errno, |()| 0)
    }
}
