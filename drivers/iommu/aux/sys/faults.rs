// SPDX-License-Identifier: GPL-2.0

//! Blocked requests of auxiliary domains, on their way from the IOMMU driver's interrupt to the
//! handlers of those who attached the domains.

use core::ffi::c_void;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{new_mutex, Arc, Mutex};
use linux::bindings;
use linux::error::eopnotsupp;
use linux::ffi::Cookie;
use linux::iommu::{DmaFault, FaultListener, Subscription};
use linux::new_raw_spinlock;
use linux::sync::RawSpinLock;
use linux::work::{Deferred, Task};
use siov_types::Pasid;

/// Whether these are one device.
pub(crate) fn is(a: &Device, b: &Device) -> bool {
    core::ptr::eq(a, b)
}

/// `iommu_aux_fault_handler_t`.
pub(crate) type HandlerFn = unsafe extern "C" fn(*const bindings::iommu_dma_fault, *mut c_void);

/// A function to be called, and with what.
///
/// # Invariants
///
/// It may be called as long as this exists.
pub(crate) struct Handler {
    function: HandlerFn,
    data: Cookie,
}

impl Handler {
    /// # Safety
    ///
    /// `function` may be called with faults and `data`, in process context, until the result is
    /// dropped.
    pub(crate) unsafe fn new(function: HandlerFn, data: Cookie) -> Self {
        // INVARIANT: As required of us.
        Self { function, data }
    }

    fn is(&self, function: HandlerFn, data: Cookie) -> bool {
        core::ptr::fn_addr_eq(self.function, function) && self.data == data
    }

    fn call(&self, fault: &DmaFault) {
        fault.with_raw(|raw| {
            // SAFETY: By the invariant; the fault is valid until this returns.
            unsafe { (self.function)(raw.as_ptr(), self.data.as_ptr()) }
        });
    }
}

struct Entry {
    dev: ARef<Device>,
    pasid: Pasid,
    handler: Handler,
}

impl Entry {
    fn concerns(&self, dev: &Device, pasid: Pasid) -> bool {
        is(&self.dev, dev) && self.pasid == pasid
    }
}

struct Handlers {
    entries: KVec<Entry>,
    /// While there are entries.
    subscription: Option<Subscription<Inbox>>,
}

/// Fault handlers by device and PASID.
#[pin_data]
pub(crate) struct Faults {
    /// Whether there are handlers; changed with `handlers` locked.
    used: AtomicBool,
    /// Held while handlers run.
    #[pin]
    handlers: Mutex<Handlers>,
    /// Has its capacity while there is a subscription.
    #[pin]
    pending: RawSpinLock<KVec<DmaFault>>,
}

/// What the IOMMU driver calls, in interrupt context.
struct Inbox(Pin<KBox<Deferred<Dispatcher>>>);

struct Dispatcher(Arc<Faults>);

impl Faults {
    /// Faults that wait for their handlers at most. More are lost, as they are in hardware.
    const PENDING: usize = 128;

    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                used: AtomicBool::new(false),
                handlers <- new_mutex!(
                    Handlers {
                        entries: KVec::new(),
                        subscription: None,
                    },
                    "iommu_aux fault handlers"
                ),
                pending <- new_raw_spinlock!(KVec::new(), "iommu_aux faults"),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `handler` for faults of `pasid` of `dev` from now on.
    pub(crate) fn add(self: &Arc<Self>, dev: &Device, pasid: Pasid, handler: Handler) -> Result {
        let mut handlers = self.handlers.lock();
        let taken =
            |e: &Entry| e.concerns(dev, pasid) && e.handler.is(handler.function, handler.data);
        if handlers.entries.iter().any(taken) {
            return Err(EEXIST);
        }
        handlers.entries.reserve(1, GFP_KERNEL)?;
        if handlers.subscription.is_none() {
            handlers.subscription = Some(self.subscribe()?);
            self.used.store(true, Ordering::Relaxed);
        }
        let entry = Entry {
            dev: dev.into(),
            pasid,
            handler,
        };
        handlers
            .entries
            .push_within_capacity(entry)
            .map_err(|_| ENOMEM)?;
        Ok(())
    }

    fn subscribe(self: &Arc<Self>) -> Result<Subscription<Inbox>> {
        let pending = KVec::with_capacity(Self::PENDING, GFP_KERNEL)?;
        let inbox = Inbox::new(self.clone())?;
        let subscription =
            Subscription::new(inbox).map_err(|e| if e == ENOENT { eopnotsupp() } else { e })?;
        self.swap_pending(pending);
        Ok(subscription)
    }

    fn swap_pending(&self, other: KVec<DmaFault>) -> KVec<DmaFault> {
        mem::replace(&mut *self.pending.lock(), other)
    }

    /// Undoes [`Self::add`]. The handler is not running when this returns.
    pub(crate) fn remove(&self, dev: &Device, pasid: Pasid, function: HandlerFn, data: Cookie) {
        self.retain(|e| !(e.concerns(dev, pasid) && e.handler.is(function, data)));
    }

    /// Removes all handlers for `pasid` of `dev`, and the faults that have not been reported to
    /// them yet: they are not those of the domain that has the PASID next.
    #[inline]
    pub(crate) fn drop_handlers(&self, dev: &Device, pasid: Pasid) {
        // Handlers are added with the registry locked, as it is here.
        if self.used.load(Ordering::Relaxed) {
            self.drop_some(dev, pasid);
        }
    }

    fn drop_some(&self, dev: &Device, pasid: Pasid) {
        self.retain(|e| !e.concerns(dev, pasid));
        let stale = |f: &mut DmaFault| is(&f.dev, dev) && f.pasid == Some(pasid);
        // Not the last reference to the device, which the caller holds.
        self.pending.lock().retain(|f| !stale(f));
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) {
        let unused = {
            let mut handlers = self.handlers.lock();
            handlers.entries.retain(|e| keep(e));
            if handlers.entries.is_empty() {
                self.used.store(false, Ordering::Relaxed);
                handlers.subscription.take()
            } else {
                None
            }
        };
        // Outside of the lock, because it waits for the dispatcher, which takes it.
        if unused.is_some() {
            drop(unused);
            drop(self.take_unused());
        }
    }

    /// The queue, unless somebody has subscribed meanwhile.
    fn take_unused(&self) -> Option<KVec<DmaFault>> {
        let handlers = self.handlers.lock();
        let unused = handlers.subscription.is_none();
        unused.then(|| self.swap_pending(KVec::new()))
    }

    /// Calls the handlers of all faults that are pending.
    fn dispatch(&self) -> Result {
        let handlers = self.handlers.lock();
        let faults = self.swap_pending(KVec::with_capacity(Self::PENDING, GFP_KERNEL)?);
        for fault in &faults {
            let Some(pasid) = fault.pasid else { continue };
            let concerned = |e: &&Entry| e.concerns(&fault.dev, pasid);
            for entry in handlers.entries.iter().filter(concerned) {
                entry.handler.call(fault);
            }
        }
        Ok(())
    }
}

impl Inbox {
    fn new(faults: Arc<Faults>) -> Result<Self> {
        let deferred = Deferred::new(
            Dispatcher(faults),
            c"iommu_aux faults",
            kernel::static_lock_class!(),
        );
        Ok(Self(KBox::pin_init(deferred, GFP_KERNEL)?))
    }
}

impl FaultListener for Inbox {
    fn fault(&self, fault: DmaFault) {
        let full = {
            let mut pending = self.0.task().0.pending.lock();
            pending.push_within_capacity(fault).err()
        };
        // The last reference to a device is never dropped here: the IOMMU driver holds one.
        drop(full);
        self.0.request();
    }
}

impl Task for Dispatcher {
    fn run(&self) {
        if self.0.dispatch().is_err() {
            kernel::pr_warn_once!(
                "no memory to report blocked requests; they are reported later\n"
            );
        }
    }
}
