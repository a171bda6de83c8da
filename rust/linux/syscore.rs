// SPDX-License-Identifier: GPL-2.0

//! Callbacks for the last and the first moments of the system: one CPU, interrupts off.
//!
//! C header: [`include/linux/syscore_ops.h`](srctree/include/linux/syscore_ops.h)

use crate::bindings;
use crate::callback::{Data, Registered};
use crate::module::{InUse, Kind};
use core::ffi::c_void;
use core::marker::PhantomPinned;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::types::Opaque;

/// What happens to a system core component.
pub trait SystemCore: Send + Sync + 'static {
    /// The system is about to sleep and may lose the component's state.
    fn suspend(&self) -> Result;

    /// The system is awake again, or did not fall asleep after `suspend`.
    fn resume(&self);

    /// The system goes down, reboots, or boots another kernel by kexec. Devices have been shut
    /// down.
    fn shutdown(&self);
}

/// What C code knows.
#[pin_data]
struct Node<T: SystemCore> {
    syscore: Opaque<bindings::syscore>,
    component: T,
    #[pin]
    _pin: PhantomPinned,
    _in_use: InUse,
}

// SAFETY: The list head inside belongs to the C side, which locks it.
unsafe impl<T: SystemCore> Send for Node<T> {}
// SAFETY: As above.
unsafe impl<T: SystemCore> Sync for Node<T> {}

/// Callbacks of suspend and resume that are under way: one, or none. Whatever runs meanwhile,
/// because one sleeps by mistake and so lets interrupts in, must not change the list of components.
static CALLED: AtomicU32 = AtomicU32::new(0);

/// A call of suspend or resume, until this is dropped.
struct Called;

impl Called {
    fn new() -> Self {
        CALLED.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        CALLED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A registered component. It stays registered with a warning, and is never freed, if it is dropped
/// with interrupts off, or while a component suspends or resumes: the list of components must not
/// change then.
pub struct Registration<T: SystemCore>(ManuallyDrop<Pin<KBox<Node<T>>>>);

impl<T: SystemCore> Registration<T> {
    const OPS: &'static bindings::syscore_ops = &bindings::syscore_ops {
        suspend: Some(Self::suspend_callback),
        resume: Some(Self::resume_callback),
        shutdown: Some(Self::shutdown_callback),
    };

    /// Registers `component`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(component: T) -> Result<Self> {
        let this = KBox::pin_init(
            pin_init!(Node {
                syscore: Opaque::new(bindings::syscore::default()),
                component,
                _pin: PhantomPinned,
                _in_use: InUse::new(Kind::SystemCore),
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
        // SAFETY: The structure, and the component beside it, are pinned until `drop` has
        // unregistered it.
        unsafe { bindings::register_syscore(raw) };
        Ok(Self(ManuallyDrop::new(this)))
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
        let _called = Called::new();
        component.suspend().map_or_else(Error::to_errno, |()| 0)
    }

    fn resume(component: Data<'_, Self>) {
        let _called = Called::new();
        component.resume();
    }

    fn shutdown(component: Data<'_, Self>) {
        component.shutdown();
    }
}

impl<T: SystemCore> Registered for Registration<T> {
    type Data = T;
}

impl<T: SystemCore> Drop for Registration<T> {
    fn drop(&mut self) {
        if crate::irq::off_when_dropped() || kernel::warn_on!(CALLED.load(Ordering::SeqCst) != 0) {
            return;
        }
        // SAFETY: Registered in `new`. No callback of suspend or resume runs: those do on one CPU,
        // and are counted. One of shutdown is waited for.
        unsafe { bindings::unregister_syscore(self.0.syscore.get()) };
        // SAFETY: Not used after this.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}
