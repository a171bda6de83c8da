// SPDX-License-Identifier: GPL-2.0

//! What the kernel relies on when it frees memory that devices have reached: a promise of the whole
//! driver, which is kept by safe code.
//!
//! It is kept by units that do what the specification says. One that does not answer an
//! invalidation for longer than any may take is broken, and reported (see `queue`).

use crate::domain::Domain;
use crate::driver::Vtd;
use linux::instance::Instance;
use linux::iommu::driver::{Isolates, Placed};

// SAFETY: One static.
unsafe impl Placed for Vtd {
    fn place() -> &'static Instance<Self> {
        static INSTANCE: Instance<Vtd> = Instance::new();
        &INSTANCE
    }
}

// SAFETY: `Device::replace` and `Device::tear_down` write the PASID entry that the attachment
// functions ask for, and return when the unit has invalidated what it had cached of the old one
// (VT-d spec, 6.5.3.3). The entry of a domain names the root of the tables of that domain, whose
// `Space` the device keeps while it is attached. `Device::release` tears all entries down, and
// `Unit::remove_device` clears the context entries, or lets requests pass untranslated when the
// unit is being unregistered. The suites `vtd-domain`, `vtd-hotplug` and `iommu-aux` show it, by
// devices that write where they must not.
unsafe impl Isolates for Vtd {}

// SAFETY: `Space::invalidate` submits invalidations to each unit and for each device TLB that may
// have cached translations of the domain, also of what is above leaves if tables were unlinked, and
// waits until all are done (VT-d spec, 6.5.2). The same suites show it.
unsafe impl Isolates for Domain {}
