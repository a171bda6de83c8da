// SPDX-License-Identifier: GPL-2.0

//! Work that interrupt context leaves to process context.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use crate::callback::{Call, FromC};
use crate::module::{InUse, Kind};
use core::mem::offset_of;
use core::pin::Pin;
use kernel::prelude::*;
use kernel::sync::LockClassKey;
use kernel::types::Opaque;

/// What is to be done.
pub trait Task: Send + Sync + 'static {
    /// Does it, in process context, once for any number of requests since the last time.
    fn run(&self);
}

/// A task that can be requested from any context. Dropping it waits until it does not run.
///
/// Unlike the kernel crate's work items it is no reference-counted object of its own, so that
/// nothing runs any more, and no code of the module is needed, once it is gone.
#[pin_data(PinnedDrop)]
pub struct Deferred<T: Task> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    task: T,
    _in_use: InUse,
}

// SAFETY: The C side locks the work item.
unsafe impl<T: Task> Send for Deferred<T> {}
// SAFETY: As above.
unsafe impl<T: Task> Sync for Deferred<T> {}

impl<T: Task> Deferred<T> {
    /// `key` is the task's lock class.
    pub fn new(
        task: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writes, and pinned from here on.
            work <- Opaque::ffi_init(move |slot| unsafe {
                bindings::init_work_with_key(
                    slot,
                    Some(Self::run_callback),
                    false,
                    name.as_char_ptr(),
                    key.as_ptr(),
                )
            }),
            task,
            _in_use: InUse::new(Kind::Work),
        })
    }

    /// The task.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// Has it run soon.
    pub fn request(&self) {
        // SAFETY: Set once at boot.
        let queue = unsafe { bindings::system_percpu_wq };
        let cpu = bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32;
        // SAFETY: Initialised in `new`; `drop` cancels it.
        unsafe { bindings::queue_work_on(cpu, queue, self.work.get()) };
    }

    /// Waits until all that was requested before is done.
    pub fn flush(&self) {
        // SAFETY: Initialised in `new`.
        unsafe { bindings::flush_work(self.work.get()) };
    }

    crate::callbacks! {
        /// `work_struct::func`.
        ///
        /// # Safety
        ///
        /// For the work items that `new` initialises: the work queue passes the item that it runs,
        /// which lies in a `Deferred<T>` whose `drop` waits until this has returned.
        unsafe fn run_callback(work: *mut bindings::work_struct => Running<'_, T>) = Self::run;
    }

    fn run(running: Running<'_, T>) {
        running.0.task.run();
    }
}

/// The task of a work item that runs: one that lies in a `Deferred<T>`, which stays until the call
/// ends.
struct Running<'call, T: Task>(&'call Deferred<T>);

impl<'call, T: Task> FromC<'call, *mut bindings::work_struct> for Running<'call, T> {
    unsafe fn from_c(work: *mut bindings::work_struct, _call: &'call Call) -> Self {
        // `Opaque` is transparent.
        let deferred = work.wrapping_byte_sub(offset_of!(Deferred<T>, work));
        // SAFETY: As required of us.
        Self(unsafe { &*deferred.cast() })
    }
}

#[pinned_drop]
impl<T: Task> PinnedDrop for Deferred<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised in `new`.
        unsafe { bindings::cancel_work_sync(self.work.get()) };
    }
}
