// SPDX-License-Identifier: GPL-2.0

//! Open containers, by the numbers that VFIO knows them by.
//!
//! VFIO reads a container's data and calls its driver with them, for a request of user space,
//! without a lock: the last group may leave meanwhile, with which the container is released. A
//! driver that gave out an address would work on freed memory then, or on another container. A
//! number is used once, and finds nothing after its container was released.
//!
//! VFIO also puts its reference to the module with the last group. So a container has one of its
//! own, which the request that works on it keeps.
//!
//! Lock order: [`OpenContainers::opening`], then [`OpenContainers::entries`], inside of which no
//! other lock is taken.

use super::device::Devices;
use super::endpoint::Groups;
use super::ioas::IoasId;
use super::ops::{Container, Opening};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Arc, Mutex, SpinLock};
use linux::callback::{Call, FromC};
use linux::module::Reference;
use linux::ratelimit::RateLimit;
use linux::vec;

/// What VFIO passes for a container, in a function that it calls: a number, or NULL for none.
pub(super) struct Handle<'call, T>(*mut c_void, PhantomData<(&'call Call, T)>);

/// Any pointer, in a function that VFIO calls while the driver of containers `T` is registered.
impl<'call, T> FromC<'call, *mut c_void> for Handle<'call, T> {
    #[inline(always)]
    unsafe fn from_c(c: *mut c_void, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

/// What VFIO passes for a container that it opens (`VFIO_SET_IOMMU`).
pub(super) struct Kind<'call, T>(usize, PhantomData<(&'call Call, T)>);

/// Any number, in a function that VFIO calls while the driver of containers `T` is registered.
impl<'call, T> FromC<'call, usize> for Kind<'call, T> {
    unsafe fn from_c(c: usize, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

/// Bits of a number that say where its container is in the table; those above are never the same
/// again.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// An open container.
pub(super) struct Opened<T> {
    // Dropped before the domains that are published there.
    groups: Arc<Groups>,
    container: Arc<T>,
    devices: Arc<Devices>,
    // Dropped last. `Registered` waits for those who return from that.
    _module: Reference,
}

impl<T> Opened<T> {
    /// The driver's data.
    #[inline]
    pub(super) fn container(&self) -> &T {
        &self.container
    }

    /// What is published of its groups.
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// VFIO's devices whose drivers pin pages.
    pub(super) fn devices(&self) -> &Devices {
        &self.devices
    }
}

struct Entry<T> {
    number: usize,
    opened: Option<Arc<Opened<T>>>,
}

#[pin_data]
struct OpenContainers<T: Container> {
    /// How many have been opened.
    #[pin]
    opening: Mutex<usize>,
    /// A request costs one look into this.
    #[pin]
    entries: SpinLock<KVec<Entry<T>>>,
    /// Of all containers: a process can open as many as it likes.
    complaints: Arc<RateLimit>,
}

/// Where the functions that VFIO calls, which get a number and nothing else, find the open
/// containers. It is not the driver's: one that named another place at another time would lose
/// devices that VFIO unregisters.
///
/// NULL, or the `OpenContainers<T>` of the one [`Open<T>`](Open), which resets it before the table
/// is freed. As long as C code calls functions for containers `T`, there is an `Open<T>`, which is
/// not dropped.
static TABLE: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// The table of containers `T`.
///
/// # Safety
///
/// This is called in a call of VFIO's for such containers, and what is returned is not used after
/// it.
#[inline]
unsafe fn table<'a, T: Container>() -> Option<&'a OpenContainers<T>> {
    let table = TABLE.load(Ordering::Acquire).cast::<OpenContainers<T>>();
    // SAFETY: NULL, or the table of an `Open<T>`, as required of us.
    unsafe { table.as_ref() }
}

impl<T: Container> Kind<'_, T> {
    /// Opens a container; what VFIO is to know it by.
    ///
    /// # Errors
    ///
    /// Those of [`Container::open`], `ENOMEM`, `ENFILE` for more than a million.
    pub(super) fn open(&self) -> Result<*mut c_void> {
        // SAFETY: Not used after the call that `self` is borrowed from.
        let table = unsafe { table::<T>() }.ok_or(ENODEV)?;
        let mut opening = table.opening.lock();
        vec::reserve(&table.entries, |entries| entries)?;
        let index = {
            let entries = table.entries.lock();
            let free = entries.iter().position(|entry| entry.opened.is_none());
            // It stays free: containers are opened one by one.
            free.unwrap_or(entries.len())
        };
        if index > INDEX_MASK {
            return Err(ENFILE);
        }
        // There is no time to open so many that a number would look like an error.
        *opening += 1;
        let number = *opening << INDEX_BITS | index;

        let groups = Arc::pin_init(Groups::new(), GFP_KERNEL)?;
        let devices = Arc::pin_init(Devices::new(), GFP_KERNEL)?;
        let container = T::open(
            self.0,
            Opening {
                // SAFETY: The number was not used before.
                id: unsafe { IoasId::new(number) },
                devices: devices.clone(),
                complaints: table.complaints.clone(),
            },
        )?;
        let opened = Opened {
            groups,
            container,
            devices,
            _module: Reference::new()?,
        };
        let entry = Entry {
            number,
            opened: Some(Arc::new(opened, GFP_KERNEL)?),
        };
        let mut entries = table.entries.lock();
        match entries.get_mut(index) {
            Some(free) => *free = entry,
            None => entries.push_within_capacity(entry).map_err(|_| ENOMEM)?,
        }
        Ok(core::ptr::without_provenance_mut(number))
    }
}

impl<T> Handle<'_, T> {
    pub(super) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// The number, which no other container has had.
    pub(super) fn number(&self) -> usize {
        self.0 as usize
    }
}

impl<T: Container> Handle<'_, T> {
    /// What `f` makes of the entry of this container, if there is one.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Option<Arc<Opened<T>>>) -> Option<R>) -> Option<R> {
        let number = self.number();
        // SAFETY: Not used after the call that `self` is borrowed from.
        let mut entries = unsafe { table::<T>() }?.entries.lock();
        let entry = entries.get_mut(number & INDEX_MASK)?;
        if entry.number != number {
            return None;
        }
        f(&mut entry.opened)
    }

    /// The container, unless it has been released.
    #[inline]
    pub(super) fn find(&self) -> Option<Arc<Opened<T>>> {
        self.with(|opened| opened.clone())
    }

    /// Releases a container. It is dropped with the last request that is being worked on.
    pub(super) fn release(&self) {
        // Dropped here, with the lock released.
        drop(self.with(Option::take));
    }
}

/// The open containers of a driver, found as long as this lives.
pub(super) struct Open<T: Container> {
    _table: Pin<KBox<OpenContainers<T>>>,
}

impl<T: Container> Open<T> {
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// There is no other one, of no type. As long as C code calls functions for containers `T`,
    /// this is not dropped.
    pub(super) unsafe fn new() -> Result<Self> {
        let limit = RateLimit::new(5, 10, c"vfio_iommu_type1");
        let complaints = Arc::pin_init(limit, GFP_KERNEL)?;
        let _table = KBox::pin_init(
            pin_init!(OpenContainers {
                opening <- new_mutex!(0, "vfio_iommu_type1 opening"),
                entries <- new_spinlock!(KVec::new(), "vfio_iommu_type1 containers"),
                complaints,
            }),
            GFP_KERNEL,
        )?;
        let raw = core::ptr::from_ref::<OpenContainers<T>>(&_table).cast_mut();
        TABLE.store(raw.cast(), Ordering::Release);
        Ok(Self { _table })
    }
}

impl<T: Container> Drop for Open<T> {
    fn drop(&mut self) {
        TABLE.store(core::ptr::null_mut(), Ordering::Release);
    }
}
