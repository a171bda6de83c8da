// SPDX-License-Identifier: GPL-2.0

//! why: Registers that another thread can drop meanwhile are not mapped.
//! against: linux linux_vfio
//! error: E0515

#![forbid(unsafe_code)]

use kernel::device::Bound;
use kernel::prelude::*;
// misuse {
use kernel::sync::Mutex;
// }
use linux::mmio::{RegisterPages, Registers};
use linux_vfio::device::{Device, Handle, Interrupts, Region, SetInterrupts};

/// A device.
#[pin_data]
pub struct Mine {
    // misuse {
    #[pin]
    registers: Mutex<Registers>,
    // } else {
    registers: Registers,
    // }
}

impl Device for Mine {
    const NAME: &'static CStr = c"mine";
    const FLAGS: u32 = 0;
    const REGIONS: u32 = 1;
    const INTERRUPTS: u32 = 0;

    fn open(&self, _user: Handle<'_>) -> Result {
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

    fn map(&self, _region: u32) -> Result<RegisterPages<'_>> {
        // misuse {
        self.registers.lock().pages(0, 0x1000)
        // } else {
        self.registers.pages(0, 0x1000)
        // }
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
