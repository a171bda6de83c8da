// SPDX-License-Identifier: GPL-2.0

//! `read(2)`, `write(2)` and `mmap(2)` on the file of a device.

use crate::device::{Device, Handle, Region};
use crate::device_region::{split, OFFSET_SHIFT};
use crate::registration::Open;
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_char, c_int};
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::mmio::RegisterPages;
use siov_types::PAGE_SHIFT;

/// A mapping of the device's file that is being made.
///
/// As a parameter of a callback it demands a pointer to a valid mapping that nothing else uses
/// until the call ends, and that keeps the file open.
pub(crate) struct NewMapping<'call>(*mut bindings::vm_area_struct, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut bindings::vm_area_struct> for NewMapping<'call> {
    unsafe fn from_c(c: *mut bindings::vm_area_struct, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl NewMapping<'_> {
    /// Where it begins in the file, in pages.
    fn first_page(&self) -> u64 {
        // SAFETY: A field of a valid mapping.
        unsafe { (*self.0).vm_pgoff as u64 }
    }

    /// In bytes, whole pages.
    fn len(&self) -> u64 {
        // SAFETY: A valid mapping.
        unsafe { bindings::siov_helper_vma_size(self.0) as u64 }
    }

    /// Whether others see what is written (`MAP_SHARED`).
    fn is_shared(&self) -> bool {
        // SAFETY: A valid mapping.
        unsafe { bindings::siov_helper_vma_is_shared(self.0) }
    }

    /// Fills it with the registers in `pages`, from `offset` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there are not as many; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The registers are there as long as the file is open.
    unsafe fn fill(&self, pages: RegisterPages<'_>, offset: u64) -> Result {
        let start = pages.locate(offset, self.len()).ok_or(EINVAL)?;
        // SAFETY: A new mapping, and pages that are registers, also as long as the mapping keeps
        // the file open.
        to_result(unsafe { bindings::siov_helper_vma_map_registers(self.0, start.raw()) })
    }
}

/// Longest access that reaches a driver, in bytes.
const WIDEST: usize = 8;

/// The longest power of two, up to [`WIDEST`], that `offset` is a multiple of and that `left` bytes
/// hold.
fn step(offset: u64, left: usize) -> usize {
    let mut step = WIDEST;
    while step > 1 && (offset % step as u64 != 0 || step > left) {
        step /= 2;
    }
    step
}

/// How much of `count` bytes at `offset` lies in the region.
fn clip(region: &Region, offset: u64, count: usize) -> Result<usize> {
    let room = region.size.checked_sub(offset).filter(|room| *room != 0);
    Ok(count.min(usize::try_from(room.ok_or(EINVAL)?)?))
}

/// Goes through up to `count` bytes of a region in pieces that drivers take: `each` gets the
/// device, its user, region, offset and room for one piece. Returns how many bytes it were.
fn transfer<T: Device>(
    device: &Open<'_, T>,
    count: usize,
    pos: &mut i64,
    allowed: fn(&Region) -> bool,
    mut each: impl FnMut(&T, Handle<'_>, u32, u64, &mut [u8]) -> Result,
) -> isize {
    from_result(|| {
        let (data, user) = device.parts()?;
        let (index, start) = split(*pos as u64);
        let region = data.region(index);
        if !allowed(&region) {
            return Err(EINVAL);
        }
        let count = clip(&region, start, count)?;
        let mut done = 0;
        while done < count {
            // No overflow: an offset in the region.
            let offset = start + done as u64;
            let mut piece = [0; WIDEST];
            let piece = piece.get_mut(..step(offset, count - done)).ok_or(EINVAL)?;
            each(data, user, index, offset, piece)?;
            done += piece.len();
        }
        *pos = pos.checked_add(i64::try_from(done)?).ok_or(EINVAL)?;
        Ok(done as isize)
    })
}

/// In the context of the device's user.
pub(crate) fn read<T: Device>(
    device: Open<'_, T>,
    buf: *mut c_char,
    count: usize,
    pos: &mut i64,
) -> isize {
    let mut to = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
    let each = |data: &T, user: Handle<'_>, index, offset, piece: &mut [u8]| {
        data.read(user, index, offset, piece)?;
        to.write_slice(piece)
    };
    transfer(&device, count, pos, |region| region.read, each)
}

/// In the context of the device's user.
pub(crate) fn write<T: Device>(
    device: Open<'_, T>,
    buf: *const c_char,
    count: usize,
    pos: &mut i64,
) -> isize {
    let mut from = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count).reader();
    let each = |data: &T, user: Handle<'_>, index, offset, piece: &mut [u8]| {
        from.read_slice(piece)?;
        data.write(user, index, offset, piece)
    };
    transfer(&device, count, pos, |region| region.write, each)
}

pub(crate) fn mmap<T: Device>(device: Open<'_, T>, vma: NewMapping<'_>) -> c_int {
    from_result(|| {
        let (data, _) = device.parts()?;
        let index = (vma.first_page() >> (OFFSET_SHIFT - PAGE_SHIFT)) as u32;
        let (_, offset) = split(vma.first_page() << PAGE_SHIFT);
        let region = data.region(index);
        let fits = offset
            .checked_add(vma.len())
            .is_some_and(|end| end <= region.size);
        if !region.mmap || !vma.is_shared() || !fits {
            return Err(EINVAL);
        }
        let pages = data.map(index)?;
        // SAFETY: The pages are borrowed from `data`, of which there are shared references only
        // until it is dropped: they could be borrowed until then. It is dropped when the device has
        // been closed and unregistered.
        unsafe { vma.fill(pages, offset)? };
        Ok(0)
    })
}
