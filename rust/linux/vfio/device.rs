// SPDX-License-Identifier: GPL-2.0

//! VFIO devices: what a driver offers to user space.
//!
//! A driver implements [`Device`], and [`register_emulated`] offers one to user space. The core of
//! VFIO calls `open` and `close` in turn, and everything else only in between, from several threads
//! at once.

use crate::eventfd::EventFd;
use kernel::device::Bound;
use kernel::prelude::*;
use linux::mmio::RegisterPages;

pub use crate::device_region::RegionKind;
pub use crate::open::Handle;
pub use crate::registration::register_emulated;

/// One region of a device (`struct vfio_region_info`).
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// In bytes; 0 when there is none with this index.
    pub size: u64,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written.
    pub write: bool,
    /// Whether it may be mapped.
    pub mmap: bool,
    /// What it holds.
    pub kind: RegionKind,
}

impl Region {
    /// No such region.
    pub const NONE: Self = Self {
        size: 0,
        read: false,
        write: false,
        mmap: false,
        kind: RegionKind::Indexed,
    };
}

/// Interrupts with one index (`struct vfio_irq_info`).
#[derive(Clone, Copy, Debug)]
pub struct Interrupts {
    /// How many; 0 when there are none with this index.
    pub count: u32,
    /// Whether the set may only be changed as a whole (`VFIO_IRQ_INFO_NORESIZE`).
    pub fixed: bool,
}

/// What the user asks for interrupts `start..start + n` of one index (`VFIO_DEVICE_SET_IRQS`).
pub enum SetInterrupts<'a> {
    /// Signal these eventfds from now on; `None` for no signal.
    Trigger(KVec<Option<EventFd>>),
    /// Signal nothing any more, for all interrupts with this index.
    Disable,
    /// Behave as if these interrupts had come, for tests; one flag each.
    Loopback(&'a [bool]),
}

/// A VFIO device, as its driver implements it.
///
/// # Examples
///
/// A device with one page of memory, and an interrupt that comes
/// when the page is written:
///
/// ```ignore
/// use kernel::{new_mutex, prelude::*, sync::Mutex};
/// use linux_vfio::device::{Device, Handle, Interrupts, Region, SetInterrupts};
/// use linux_vfio::eventfd::EventFd;
///
/// #[pin_data]
/// struct Scratch {
///     #[pin]
///     page: Mutex<KVec<u8>>,
///     #[pin]
///     written: Mutex<Option<EventFd>>,
/// }
///
/// impl Device for Scratch {
///     const NAME: &'static CStr = c"scratch";
///     const FLAGS: u32 = 0;
///     const REGIONS: u32 = 1;
///     const INTERRUPTS: u32 = 1;
///
///     fn open(&self, _user: Handle<'_>) -> Result {
///         self.page.lock().fill(0);
///         Ok(())
///     }
///
///     fn close(&self, _user: Handle<'_>) {
///         *self.written.lock() = None;
///     }
///
///     fn region(&self, index: u32) -> Region {
///         match index {
///             0 => Region {
///                 size: 4096,
///                 read: true,
///                 write: true,
///                 ..Region::NONE
///             },
///             _ => Region::NONE,
///         }
///     }
///
///     fn read(&self, _user: Handle<'_>, _region: u32, offset: u64, data: &mut [u8]) -> Result {
///         let page = self.page.lock();
///         let bytes = page.iter().skip(offset as usize);
///         data.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
///         Ok(())
///     }
///
///     fn write(&self, _user: Handle<'_>, _region: u32, offset: u64, data: &[u8]) -> Result {
///         let mut page = self.page.lock();
///         let bytes = page.iter_mut().skip(offset as usize);
///         bytes.zip(data).for_each(|(to, from)| *to = *from);
///         if let Some(eventfd) = &*self.written.lock() {
///             eventfd.signal();
///         }
///         Ok(())
///     }
///
///     fn interrupts(&self, _index: u32) -> Interrupts {
///         Interrupts { count: 1, fixed: true }
///     }
///
///     fn set_interrupts(&self, _index: u32, _start: u32, what: SetInterrupts<'_>) -> Result {
///         match what {
///             SetInterrupts::Trigger(mut eventfds) => {
///                 *self.written.lock() = eventfds.pop().flatten();
///             }
///             SetInterrupts::Disable => *self.written.lock() = None,
///             SetInterrupts::Loopback(_) => {}
///         }
///         Ok(())
///     }
///
///     fn reset(&self, user: Handle<'_>) -> Result {
///         self.open(user)
///     }
///
///     fn request(&self, dev: &kernel::device::Device<kernel::device::Bound>, _count: u32) {
///         dev_info!(dev, "waiting for userspace to release the device\n");
///     }
/// }
/// ```
pub trait Device: Sized + Send + Sync + 'static {
    /// As `/sys/kernel/debug/vfio` and messages show it.
    const NAME: &'static CStr;
    /// What the device looks like: `VFIO_DEVICE_FLAGS_*`, without RESET.
    const FLAGS: u32;
    /// Number of regions.
    const REGIONS: u32;
    /// Number of indices of interrupts.
    const INTERRUPTS: u32;
    /// How many pages of its user the driver keeps pinned for [`Handle::read_pinned`] and
    /// [`Handle::write_pinned`], at most.
    const PINNED_PAGES: usize = 0;

    /// The first user opens the device: its address space is that of the user's container now.
    ///
    /// # Errors
    ///
    /// Go to the user. The device is as before.
    fn open(&self, user: Handle<'_>) -> Result;

    /// The last user has closed the device. On return the device does no more DMA.
    fn close(&self, user: Handle<'_>);

    /// The region with this index.
    fn region(&self, index: u32) -> Region;

    /// Reads `data.len()` bytes at `offset`, both checked to lie in the region; 1, 2, 4 or 8 bytes,
    /// aligned to that.
    ///
    /// # Errors
    ///
    /// Go to the user.
    fn read(&self, user: Handle<'_>, region: u32, offset: u64, data: &mut [u8]) -> Result;

    /// Writes as [`Self::read`] reads.
    ///
    /// # Errors
    ///
    /// Go to the user.
    fn write(&self, user: Handle<'_>, region: u32, offset: u64, data: &[u8]) -> Result;

    /// The registers that users may map, for a region with [`Region::mmap`]: from the start of the
    /// region on, and no further than they reach.
    ///
    /// # Errors
    ///
    /// Go to the user.
    fn map(&self, region: u32) -> Result<RegisterPages<'_>> {
        let _ = region;
        Err(EINVAL)
    }

    /// The interrupts with this index.
    fn interrupts(&self, index: u32) -> Interrupts;

    /// Sets interrupts with this index, from `start` on; checked to exist.
    ///
    /// # Errors
    ///
    /// Go to the user.
    fn set_interrupts(&self, index: u32, start: u32, what: SetInterrupts<'_>) -> Result;

    /// Puts the device into the state after `open`.
    ///
    /// # Errors
    ///
    /// Go to the user.
    fn reset(&self, user: Handle<'_>) -> Result;

    /// The driver of `dev` is being unbound: asks the user to close the device, for the `count`th
    /// time.
    fn request(&self, dev: &kernel::device::Device<Bound>, count: u32);
}
