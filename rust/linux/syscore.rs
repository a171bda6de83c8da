// SPDX-License-Identifier: GPL-2.0

//! Callbacks for the last and the first moments of the system: one CPU, interrupts off.
//!
//! C header: [`include/linux/syscore_ops.h`](srctree/include/linux/syscore_ops.h)

use crate::bindings;
use crate::callback::{Data, Registered};
use core::ffi::c_void;
use core::marker::PhantomPinned;
use kernel::prelude::*;
use kernel::types::Opaque;

/// What happens to a system core component.
pub trait SystemCore: Send + Sync + 'static {
    /// The system is about to sleep and may lose the component's state.
    fn suspend(&self) -> Result;

    /// The system is awake again, or did not fall asleep after `suspend`.
    fn resume(&self);

    /// The system goes down, reboots, or boots another kernel by kexec. Devices have been shut down.
    fn shutdown(&self);
}

/// A registered component.
#[pin_data(PinnedDrop)]
pub struct Registration<T: SystemCore> {
    syscore: Opaque<bindings::syscore>,
    component: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The list head inside belongs to the C side, which locks it.
unsafe impl<T: SystemCore> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: SystemCore> Sync for Registration<T> {}

impl<T: SystemCore> Registration<T> {
    const OPS: &'static bindings::syscore_ops = &bindings::syscore_ops {
        suspend: Some(Self::suspend_callback),
        resume: Some(Self::resume_callback),
        shutdown: Some(Self::shutdown_callback),
    };

    /// Registers `component`.
    pub fn new(component: T) -> Result<Pin<KBox<Self>>> {
        let this = KBox::pin_init(
            pin_init!(Self {
                syscore: Opaque::new(bindings::syscore::default()),
                component,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        let raw = this.syscore.get();
        let syscore = bindings::syscore {
            ops: Self::OPS,
            data: Data::<Self>::cookie(&this.component),
            ..Default::default()
        };
        // SAFETY: The structure is ours until it is registered.
        unsafe { raw.write(syscore) };
        // SAFETY: The structure, and the component beside it, are pinned until `drop` has unregistered it.
        unsafe { bindings::register_syscore(raw) };
        Ok(this)
    }

    crate::callbacks! {
        /// `syscore_ops::suspend`.
        ///
        /// # Safety
        ///
        /// For what `new` registers, with the data that it registers.
        unsafe fn suspend_callback(component: *mut c_void => Data<'_, Self>) -> i32 = Self::suspend;

        /// `syscore_ops::resume`.
        ///
        /// # Safety
        ///
        /// As for `suspend_callback`.
        unsafe fn resume_callback(component: *mut c_void => Data<'_, Self>) = Self::resume;

        /// `syscore_ops::shutdown`.
        ///
        /// # Safety
        ///
        /// As for `suspend_callback`.
        unsafe fn shutdown_callback(component: *mut c_void => Data<'_, Self>) = Self::shutdown;
    }

    fn suspend(component: Data<'_, Self>) -> i32 {
        component.suspend().map_or_else(Error::to_errno, |()| 0)
    }

    fn resume(component: Data<'_, Self>) {
        component.resume();
    }

    fn shutdown(component: Data<'_, Self>) {
        component.shutdown();
    }
}

impl<T: SystemCore> Registered for Registration<T> {
    type Data = T;
}

#[pinned_drop]
impl<T: SystemCore> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::unregister_syscore(self.syscore.get()) };
    }
}
