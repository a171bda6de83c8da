// SPDX-License-Identifier: GPL-2.0

//! why: Users map registers that the driver has, and no other memory.
//! against: linux linux_vfio siov_types
//! error: E0451

#![forbid(unsafe_code)]

use core::marker::PhantomData;
use kernel::device::{Bound, Device as Parent};
use kernel::prelude::*;
use kernel::sync::Mutex;
use linux::mmio::{RegisterPages, Registers};
use linux_vfio::device::{Device, Handle, Interrupts, Region, SetInterrupts};

/// A device.
#[pin_data]
pub struct Mine {
    registers: Registers,
    #[pin]
    user: Mutex<usize>,
}

impl Device for Mine {
    const NAME: &'static CStr = c"mine";
    const FLAGS: u32 = 0;
    const REGIONS: u32 = 1;
    const INTERRUPTS: u32 = 0;

    fn open(&self, user: Handle<'_>) -> Result {
        let _ = (user, &self.user);
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
        return Ok(RegisterPages {
            start: siov_types::PhysAddr::new(0x100_0000),
            len: 0x1000,
            _registers: PhantomData,
        });
        // }
        self.registers.pages(0, 0x1000)
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

    fn request(&self, _dev: &Parent<Bound>, _count: u32) {}
}
