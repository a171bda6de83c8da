// SPDX-License-Identifier: GPL-2.0

//! why: What users may map is pages of registers that the driver has claimed, not any address.
//! against: linux linux_vfio siov_types
//! error: E0451

#![forbid(unsafe_code)]

use kernel::device::Bound;
use kernel::prelude::*;
use linux::mmio::RegisterPages;
use linux_vfio::device::{Device, Handle, Interrupts, Region, SetInterrupts};
use siov_types::PhysAddr;

/// A device.
pub struct Mine;

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
        Ok(RegisterPages {
            start: PhysAddr::new(0x100_0000),
            len: 0x1000,
            _registers: core::marker::PhantomData,
        })
        // } else {
        let _ = PhysAddr::new(0x100_0000);
        Err(EINVAL)
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
