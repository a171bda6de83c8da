// SPDX-License-Identifier: GPL-2.0

//! Callbacks for the last and the first moments of the system: one CPU, interrupts off.
//!
//! C header: [`include/linux/syscore_ops.h`](srctree/include/linux/syscore_ops.h)

use crate::abi::{callback1, Data};
use crate::bindings;
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
        suspend: Some(callback1(Self::suspend)),
        resume: Some(callback1(Self::resume)),
        shutdown: Some(callback1(Self::shutdown)),
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
        // SAFETY: The structure is pinned until it is unregistered in `drop`.
        unsafe {
            (*raw).ops = Self::OPS;
            (*raw).data = (&raw const this.component).cast_mut().cast();
            bindings::register_syscore(raw);
        }
        Ok(this)
    }

    extern "C" fn suspend(component: Data<'_, T>) -> i32 {
        component.suspend().map_or_else(Error::to_errno, |()| 0)
    }

    extern "C" fn resume(component: Data<'_, T>) {
        component.resume();
    }

    extern "C" fn shutdown(component: Data<'_, T>) {
        component.shutdown();
    }
}

#[pinned_drop]
impl<T: SystemCore> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::unregister_syscore(self.syscore.get()) };
    }
}
