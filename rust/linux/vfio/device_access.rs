// SPDX-License-Identifier: GPL-2.0

//! `read(2)`, `write(2)` and `mmap(2)` on the file of a device.

use crate::device::{parts, Device, Handle, Region};
use crate::device_region::{split, OFFSET_SHIFT};
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;
use siov_types::PAGE_SHIFT;

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

/// Goes through up to `count` bytes of a region in pieces that drivers take: `each` gets the device, its user,
/// region, offset and room for one piece. Returns how many bytes it were.
///
/// # Safety
///
/// `vdev` is an open device of type `T`, and `ppos` the position in its file.
unsafe fn transfer<T: Device>(
    vdev: *mut bindings::vfio_device,
    count: usize,
    ppos: *mut bindings::loff_t,
    allowed: fn(&Region) -> bool,
    mut each: impl FnMut(&T, Handle<'_>, u32, u64, &mut [u8]) -> Result,
) -> isize {
    from_result(|| {
        // SAFETY: As required of us.
        let ((data, user), pos) = unsafe { (parts::<T>(vdev)?, &mut *ppos) };
        let (index, start) = split(*pos as u64);
        let region = data.region(index);
        if !allowed(&region) {
            return Err(EINVAL);
        }
        let count = clip(&region, start, count)?;
        let mut done = 0;
        while done < count {
            let offset = start + done as u64;
            let mut piece = [0; WIDEST];
            let piece = piece.get_mut(..step(offset, count - done)).ok_or(EINVAL)?;
            each(data, user, index, offset, piece)?;
            done += piece.len();
        }
        *pos += done as i64;
        Ok(done as isize)
    })
}

/// # Safety
///
/// Called by VFIO for an open device, in the context of its user.
pub(crate) unsafe extern "C" fn read<T: Device>(
    vdev: *mut bindings::vfio_device,
    buf: *mut kernel::ffi::c_char,
    count: usize,
    ppos: *mut bindings::loff_t,
) -> isize {
    let mut to = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
    let each = |data: &T, user: Handle<'_>, index, offset, piece: &mut [u8]| {
        data.read(user, index, offset, piece)?;
        to.write_slice(piece)
    };
    // SAFETY: As required of us.
    unsafe { transfer(vdev, count, ppos, |region| region.read, each) }
}

/// # Safety
///
/// Called by VFIO for an open device, in the context of its user.
pub(crate) unsafe extern "C" fn write<T: Device>(
    vdev: *mut bindings::vfio_device,
    buf: *const kernel::ffi::c_char,
    count: usize,
    ppos: *mut bindings::loff_t,
) -> isize {
    let mut from = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count).reader();
    let each = |data: &T, user: Handle<'_>, index, offset, piece: &mut [u8]| {
        from.read_slice(piece)?;
        data.write(user, index, offset, piece)
    };
    // SAFETY: As required of us.
    unsafe { transfer(vdev, count, ppos, |region| region.write, each) }
}

/// # Safety
///
/// Called by VFIO for an open device, with a mapping that is being made.
pub(crate) unsafe extern "C" fn mmap<T: Device>(
    vdev: *mut bindings::vfio_device,
    vma: *mut bindings::vm_area_struct,
) -> i32 {
    from_result(|| {
        // SAFETY: As required of us.
        let (data, _) = unsafe { parts::<T>(vdev) }?;
        // SAFETY: As required of us.
        let (first_page, len, shared) = unsafe {
            (
                (*vma).vm_pgoff as u64,
                bindings::siov_helper_vma_size(vma) as u64,
                bindings::siov_helper_vma_is_shared(vma),
            )
        };
        let index = (first_page >> (OFFSET_SHIFT - PAGE_SHIFT)) as u32;
        let (_, offset) = split(first_page << PAGE_SHIFT);
        let region = data.region(index);
        let fits = offset
            .checked_add(len)
            .is_some_and(|end| end <= region.size);
        if !region.mmap || !shared || !fits {
            return Err(EINVAL);
        }
        let at = data.map(index)?.checked_add(offset).ok_or(EINVAL)?;
        // SAFETY: The mapping is ours to fill, and the range belongs to the device's own registers.
        to_result(unsafe { bindings::siov_helper_vma_map_registers(vma, at.raw()) })?;
        Ok(0)
    })
}
