// SPDX-License-Identifier: GPL-2.0

//! `read(2)`, `write(2)` and `mmap(2)` on the file of a device.

use crate::device::{Container, Device, Handle, Region};
use crate::device_region::{split, OFFSET_SHIFT};
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::types::Opaque;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::{bindings, c_arguments};
use siov_types::{PhysAddr, PAGE_SHIFT};

// SAFETY: VFIO passes what is valid, for the function alone.
c_arguments!(unsafe {
    /// The position in a file.
    pub(crate) struct Position<'a>(&'a mut bindings::loff_t): *mut bindings::loff_t;
    /// A mapping that is being made.
    pub(crate) struct NewMapping<'a>(
        &'a Opaque<bindings::vm_area_struct>
    ): *mut bindings::vm_area_struct;
});

impl NewMapping<'_> {
    /// Offset into the file in pages, length in bytes, and whether it is shared.
    fn facts(&self) -> (u64, u64, bool) {
        let vma = self.0.get();
        // SAFETY: The mapping is valid, and nobody else uses it yet.
        unsafe {
            (
                (*vma).vm_pgoff as u64,
                bindings::siov_helper_vma_size(vma) as u64,
                bindings::siov_helper_vma_is_shared(vma),
            )
        }
    }

    /// Fills it with registers of the device from `at` on.
    fn fill(&self, at: PhysAddr) -> Result {
        // SAFETY: As above; drivers of devices say where their registers are.
        to_result(unsafe { bindings::siov_helper_vma_map_registers(self.0.get(), at.raw()) })
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

/// Goes through up to `count` bytes of a region in pieces that drivers take: `each` gets the device, its user,
/// region, offset and room for one piece. Returns how many bytes it were.
fn transfer<T: Device>(
    device: &Container<T>,
    count: usize,
    pos: Position<'_>,
    allowed: fn(&Region) -> bool,
    mut each: impl FnMut(&T, Handle<'_>, u32, u64, &mut [u8]) -> Result,
) -> isize {
    from_result(|| {
        let (data, user) = device.parts()?;
        let (index, start) = split(*pos.0 as u64);
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
        *pos.0 += done as i64;
        Ok(done as isize)
    })
}

/// In the context of the device's user.
pub(crate) extern "C" fn read<T: Device>(
    device: &Container<T>,
    buf: *mut kernel::ffi::c_char,
    count: usize,
    pos: Position<'_>,
) -> isize {
    let mut to = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
    let each = |data: &T, user: Handle<'_>, index, offset, piece: &mut [u8]| {
        data.read(user, index, offset, piece)?;
        to.write_slice(piece)
    };
    transfer(device, count, pos, |region| region.read, each)
}

/// In the context of the device's user.
pub(crate) extern "C" fn write<T: Device>(
    device: &Container<T>,
    buf: *const kernel::ffi::c_char,
    count: usize,
    pos: Position<'_>,
) -> isize {
    let mut from = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count).reader();
    let each = |data: &T, user: Handle<'_>, index, offset, piece: &mut [u8]| {
        from.read_slice(piece)?;
        data.write(user, index, offset, piece)
    };
    transfer(device, count, pos, |region| region.write, each)
}

pub(crate) extern "C" fn mmap<T: Device>(device: &Container<T>, vma: NewMapping<'_>) -> i32 {
    from_result(|| {
        let (data, _) = device.parts()?;
        let (first_page, len, shared) = vma.facts();
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
        vma.fill(at)?;
        Ok(0)
    })
}
