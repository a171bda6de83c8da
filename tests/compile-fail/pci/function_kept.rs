// SPDX-License-Identifier: GPL-2.0

//! why: A function is being bound until `probe` returns; a driver keeps what it got from it.
//! against: linux
//! error: E0521

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::Mutex;
use linux::pci::driver::{self, Function};

/// What is kept.
#[pin_data]
pub struct Kept {
    #[pin]
    // misuse {
    function: Mutex<Option<&'static Function<'static>>>,
    // } else {
    function: Mutex<Option<usize>>,
    // }
}

/// A driver.
pub struct Driver(Pin<KBox<Kept>>);

impl driver::Driver for Driver {
    type Data = ();
    const NAME: &'static CStr = c"driver";
    const ID: (u16, u16) = (1, 2);

    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Self::Data>>> {
        // misuse {
        *self.0.function.lock() = Some(function);
        // } else {
        *self.0.function.lock() = function.bar(0).ok().map(|_| 0);
        // }
        Ok(KBox::pin((), GFP_KERNEL)?)
    }
}
