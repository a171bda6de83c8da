// SPDX-License-Identifier: GPL-2.0

//! why: A device is unbound in any thread, so what its driver keeps has to be `Send`.
//! against: linux
//! error: E0277 cannot be sent between threads safely
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::pci::driver::{self, Function};

// misuse {
type Data = *mut u8;
// } else {
type Data = usize;
// }

/// A driver.
pub struct Driver(u8);

impl driver::Driver for Driver {
    type Data = Data;
    const NAME: &'static CStr = c"driver";
    const ID: (u16, u16) = (1, 2);

    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Self::Data>>> {
        let _ = function;
        Err(ENODEV)
    }
}
