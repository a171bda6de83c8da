// SPDX-License-Identifier: GPL-2.0

//! why: Users are in several threads at once, so a device has to be `Sync`.
//! against: linux linux_vfio
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use kernel::device::Bound;
use kernel::prelude::*;
use kernel::sync::Mutex;
use linux_vfio::device::{Device, Handle, Interrupts, Region, SetInterrupts};

/// A device.
#[pin_data]
pub struct Mine {
    #[pin]
    // misuse {
    user: core::cell::Cell<usize>,
    // } else {
    user: Mutex<usize>,
    // }
}

impl Device for Mine {
    const NAME: &'static CStr = c"mine";
    const FLAGS: u32 = 0;
    const REGIONS: u32 = 1;
    const INTERRUPTS: u32 = 0;

    fn open(&self, _user: Handle<'_>) -> Result {
        let _ = &self.user;
        Ok(())
    }

    fn close(&self, _user: Handle<'_>) {}

    fn region(&self, _index: u32) -> Region {
        Region::NONE
    }

    fn read(&self, _user: Handle<'_>, _region: u32, _offset: u64, _data: &mut [u8]) -> Result {
        Err(EINVAL)
    }

    fn write(&self, _user: Handle<'_>, _region: u32, _offset: u64, _data: &[u8]) -> Result {
        Err(EINVAL)
    }

    fn interrupts(&self, _index: u32) -> Interrupts {
        Interrupts {
            count: 0,
            fixed: true,
        }
    }

    fn set_interrupts(&self, _index: u32, _start: u32, _what: SetInterrupts<'_>) -> Result {
        Err(EINVAL)
    }

    fn reset(&self, _user: Handle<'_>) -> Result {
        Ok(())
    }

    fn request(&self, _dev: &kernel::device::Device<Bound>, _count: u32) {}
}
