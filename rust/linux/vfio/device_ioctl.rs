// SPDX-License-Identifier: GPL-2.0

//! `ioctl(2)` on the file of a device.
//!
//! C header: [`include/uapi/linux/vfio.h`](srctree/include/uapi/linux/vfio.h)

use crate::device::{Device, SetInterrupts};
use crate::eventfd::EventFd;
use crate::registration::Open;
use kernel::error::{from_result, to_result};
use kernel::ioctl::_IO;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;

const TYPE: u32 = b';' as u32;
const BASE: u32 = 100;
const GET_INFO: u32 = _IO(TYPE, BASE + 7);
const GET_IRQ_INFO: u32 = _IO(TYPE, BASE + 9);
const SET_IRQS: u32 = _IO(TYPE, BASE + 10);
const RESET: u32 = _IO(TYPE, BASE + 11);

/// In the context of the device's user.
pub(crate) fn ioctl<T: Device>(device: Open<'_, T>, cmd: u32, arg: usize) -> isize {
    from_result(|| {
        let (data, user) = device.parts()?;
        match cmd {
            GET_INFO => get_info::<T>(arg)?,
            GET_IRQ_INFO => get_irq_info(data, arg)?,
            SET_IRQS => set_irqs(data, arg)?,
            RESET => data.reset(user)?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    })
}

/// The first `N` words of the structure at `arg`, whose own first word is the length that the user
/// gave it.
///
/// # Errors
///
/// `EFAULT`, and `EINVAL` for a length below that.
fn words<const N: usize>(arg: usize) -> Result<[u32; N]> {
    let mut reader = UserSlice::new(UserPtr::from_addr(arg), N * size_of::<u32>()).reader();
    let mut words = [0; N];
    for word in &mut words {
        *word = reader.read::<u32>()?;
    }
    if words
        .first()
        .is_some_and(|argsz| (*argsz as usize) < N * size_of::<u32>())
    {
        return Err(EINVAL);
    }
    Ok(words)
}

fn write_words(arg: usize, words: &[u32]) -> Result {
    let mut writer = UserSlice::new(UserPtr::from_addr(arg), size_of_val(words)).writer();
    for word in words {
        writer.write(word)?;
    }
    Ok(())
}

/// `struct vfio_device_info`.
fn get_info<T: Device>(arg: usize) -> Result {
    let [argsz, ..] = words::<4>(arg)?;
    let flags = T::FLAGS | bindings::VFIO_DEVICE_FLAGS_RESET;
    write_words(arg, &[argsz, flags, T::REGIONS, T::INTERRUPTS])
}

/// `struct vfio_irq_info`.
fn get_irq_info<T: Device>(data: &T, arg: usize) -> Result {
    let [argsz, _, index, _] = words::<4>(arg)?;
    if index >= T::INTERRUPTS {
        return Err(EINVAL);
    }
    let interrupts = data.interrupts(index);
    let mut flags = 0;
    if interrupts.count != 0 {
        flags = bindings::VFIO_IRQ_INFO_EVENTFD;
        if interrupts.fixed {
            flags |= bindings::VFIO_IRQ_INFO_NORESIZE;
        }
    }
    write_words(arg, &[argsz, flags, index, interrupts.count])
}

/// `struct vfio_irq_set`.
fn set_irqs<T: Device>(data: &T, arg: usize) -> Result {
    const HEADER: usize = 5;
    let [argsz, flags, index, start, count] = words::<HEADER>(arg)?;
    if index >= T::INTERRUPTS {
        return Err(EINVAL);
    }
    let mut header = bindings::vfio_irq_set {
        argsz,
        flags,
        index,
        start,
        count,
        ..Default::default()
    };
    let existing = i32::try_from(data.interrupts(index).count)?;
    let indices = i32::try_from(T::INTERRUPTS)?;
    let mut len = 0;
    let (header, to) = (&raw mut header, &raw mut len);
    // SAFETY: Reads the header and writes the length.
    to_result(unsafe {
        bindings::vfio_set_irqs_validate_and_prepare(header, existing, indices, to)
    })?;
    let after = arg.checked_add(HEADER * size_of::<u32>()).ok_or(EFAULT)?;
    let mut reader = UserSlice::new(UserPtr::from_addr(after), len).reader();

    if flags & bindings::VFIO_IRQ_SET_ACTION_TYPE_MASK != bindings::VFIO_IRQ_SET_ACTION_TRIGGER {
        // Interrupts that are sent as messages cannot be masked here.
        return Err(ENOTTY);
    }
    match flags & bindings::VFIO_IRQ_SET_DATA_TYPE_MASK {
        bindings::VFIO_IRQ_SET_DATA_EVENTFD => {
            let mut fds = KVec::with_capacity(count as usize, GFP_KERNEL)?;
            for _ in 0..count {
                fds.push(reader.read::<i32>()?, GFP_KERNEL)?;
            }
            // All of them, before one takes effect.
            let mut eventfds = KVec::with_capacity(fds.len(), GFP_KERNEL)?;
            for fd in fds {
                let eventfd = (fd >= 0).then(|| EventFd::get(fd)).transpose()?;
                eventfds.push(eventfd, GFP_KERNEL)?;
            }
            data.set_interrupts(index, start, SetInterrupts::Trigger(eventfds))
        }
        bindings::VFIO_IRQ_SET_DATA_BOOL => {
            let mut fire = KVec::with_capacity(count as usize, GFP_KERNEL)?;
            for _ in 0..count {
                fire.push(reader.read::<u8>()? != 0, GFP_KERNEL)?;
            }
            data.set_interrupts(index, start, SetInterrupts::Loopback(&fire))
        }
        _ if count == 0 => data.set_interrupts(index, start, SetInterrupts::Disable),
        _ => {
            let fire = KVec::from_elem(true, count as usize, GFP_KERNEL)?;
            data.set_interrupts(index, start, SetInterrupts::Loopback(&fire))
        }
    }
}
