// SPDX-License-Identifier: GPL-2.0

//! Registrations that are forgotten, as safe code may do, for tests: C code has functions of this
//! module after its end. It must not be freed then.

#![forbid(unsafe_code)]

use core::mem::forget;
use kernel::prelude::*;
use linux::param;
use linux::pci::driver::{Driver, Function, Registration};
use linux::pci::DeviceExt;
use linux::work::{Deferred, Task};

module! {
    type: Module,
    name: "in_use",
    authors: ["siov-rs developers"],
    description: "Registrations that are forgotten, for tests",
    license: "GPL",
    params: {
        forget: u8 {
            default: 0,
            description: "1 forgets the driver, 2 a work item",
        },
        fail: u8 {
            default: 0,
            description: "1 lets loading fail after that",
        },
    },
}

/// QEMU's educational device.
struct Edu;

impl Driver for Edu {
    type Data = Bound;
    const NAME: &'static CStr = c"in_use";
    const ID: (u16, u16) = (0x1234, 0x11e8);

    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Bound>>> {
        let bound = Bound { _work: work()? };
        dev_info!(function.as_dev(), "probed\n");
        Ok(KBox::pin(bound, GFP_KERNEL)?)
    }
}

/// A work item that has done its work.
fn work() -> Result<Pin<KBox<Deferred<Work>>>> {
    let deferred = Deferred::new(Work, c"in_use", kernel::static_lock_class!());
    let work = KBox::pin_init(deferred, GFP_KERNEL)?;
    work.request();
    work.flush();
    Ok(work)
}

struct Bound {
    _work: Pin<KBox<Deferred<Work>>>,
}

struct Work;

impl Task for Work {
    fn run(&self) {
        pr_info!("at work\n");
    }
}

struct Module {
    _registration: Option<Pin<KBox<Registration<Edu>>>>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let mut registration = Some(Registration::new(Edu, module)?);
        match param::value::<u8>(module_parameters::forget.value()) {
            0 => {}
            1 => forget(registration.take()),
            _ => forget(work()?),
        }
        if param::value::<u8>(module_parameters::fail.value()) != 0 {
            return Err(EIO);
        }
        Ok(Self {
            _registration: registration,
        })
    }
}
