// SPDX-License-Identifier: GPL-2.0

//! PCI functions.
//!
//! The device is the kernel crate's [`Device`]; [`DeviceExt`] adds what an IOMMU driver asks of
//! one, in [`topology`] requester ids and bridges, and [`driver`] is for drivers of functions.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

mod acs;
pub mod driver;
mod recovery;
mod topology;

pub use acs::AccessControl;
pub use kernel::pci::Device;
pub use topology::{buses_below, PathToRoot};

use crate::object::Object;
use crate::{bindings, numa};
use core::ptr::NonNull;
use kernel::device::{self, DeviceContext};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use siov_types::{Bdf, Segment};

// SAFETY: `Device` is a transparent `Opaque`.
unsafe impl<Ctx: DeviceContext> Object<bindings::pci_dev> for Device<Ctx> {}

/// The bus that a function is on (`struct pci_bus`).
pub(crate) fn bus_of(dev: &Device) -> *mut bindings::pci_bus {
    // SAFETY: The device is valid, and stays on its bus.
    unsafe { (*dev.as_raw()).bus }
}

/// Takes over a reference to a function.
///
/// # Safety
///
/// `dev` is null, or comes with a reference that the result takes over.
unsafe fn from_reference(dev: *mut bindings::pci_dev) -> Option<ARef<Device>> {
    let dev = NonNull::new(dev.cast::<Device>())?;
    // SAFETY: As required of us, and an object is at the address of its structure.
    Some(unsafe { ARef::from_raw(dev) })
}

/// Every PCI function of the machine, parents before children.
pub fn devices() -> impl Iterator<Item = ARef<Device>> {
    const ANY_ID: u32 = !0;
    let mut last: Option<ARef<Device>> = None;
    core::iter::from_fn(move || {
        let from = last.take().map_or(core::ptr::null_mut(), |dev| {
            ARef::into_raw(dev).as_ptr().cast()
        });
        // SAFETY: The reference to `from` is given up.
        let next = unsafe { bindings::pci_get_device(ANY_ID, ANY_ID, from) };
        // SAFETY: The function returns a reference, or null.
        last = unsafe { from_reference(next) };
        last.clone()
    })
}

/// The function at this address, if there is one.
pub fn find(segment: Segment, bdf: Bdf) -> Option<ARef<Device>> {
    let (bus, devfn) = (bdf.bus().into(), bdf.devfn().into());
    // SAFETY: Takes any numbers.
    let found = unsafe { bindings::pci_get_domain_bus_and_slot(segment.0.into(), bus, devfn) };
    // SAFETY: The function returns a reference, or null.
    unsafe { from_reference(found) }
}

/// What the kernel crate's [`Device`] does not offer.
pub trait DeviceExt: Object<bindings::pci_dev> {
    /// The generic device, for messages.
    fn as_dev(&self) -> &device::Device;

    /// The same function in any state.
    fn as_pci(&self) -> &Device;

    /// Segment group; `None` for a function that is in none: those that a driver presents on a bus
    /// of its own making (Intel VMD) have domain numbers from 0x10000 on.
    fn segment(&self) -> Option<Segment> {
        // Read from the name: what the bus points to for it ends with the host bridge's driver,
        // and a reference to a function may last longer.
        let name = self.as_dev().name().to_str().ok()?;
        let (domain, _) = name.split_once(':')?;
        u16::from_str_radix(domain, 16).ok().map(Segment)
    }

    /// Requester id.
    fn bdf(&self) -> Bdf {
        let bus = bus_of(self.as_pci());
        // SAFETY: A device holds a reference to its bus, whose number does not change.
        let number = unsafe { (*bus).number };
        // SAFETY: The device is valid, and the field does not change.
        let devfn = unsafe { (*self.as_raw()).devfn };
        Bdf::new(number, devfn as u8)
    }

    /// Vendor and device id, as in configuration space.
    fn id(&self) -> (u16, u16) {
        // SAFETY: The device is valid, and the field does not change.
        let vendor = unsafe { (*self.as_raw()).vendor };
        // SAFETY: As above.
        let device = unsafe { (*self.as_raw()).device };
        (vendor, device)
    }

    /// The NUMA node that the device is near to.
    fn node(&self) -> numa::Node {
        numa::Node::of(self.as_dev())
    }

    /// Base class, subclass and programming interface, as in configuration space.
    fn class(&self) -> u32 {
        // SAFETY: The device is valid, and the field does not change.
        unsafe { (*self.as_raw()).class }
    }

    /// Whether it is a bridge, of PCI or to CardBus.
    fn is_bridge(&self) -> bool {
        // SAFETY: The device is valid, and the field does not change.
        let header = u32::from(unsafe { (*self.as_raw()).hdr_type });
        header == bindings::PCI_HEADER_TYPE_BRIDGE || header == bindings::PCI_HEADER_TYPE_CARDBUS
    }

    /// Whether it is a root port of PCI Express.
    fn is_root_port(&self) -> bool {
        topology::is_root_port(self.as_pci())
    }

    /// Whether firmware marked the device, or the port above it, as reachable from outside of the
    /// machine.
    fn is_untrusted(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::siov_helper_pci_is_untrusted(self.as_raw()) }
    }

    /// Whether the PCI core knows that the device has been removed without notice, or does not
    /// answer and will not any more (`pci_dev_is_disconnected()`). May be called in any context.
    #[inline]
    fn is_disconnected(&self) -> bool {
        // SAFETY: The device is valid, and the field lies in it.
        let state = unsafe { &raw const (*self.as_raw()).error_state };
        // SAFETY: The pointer is valid, as said; C code writes the field in one piece.
        let state = unsafe { state.read_volatile() };
        state == bindings::pci_channel_io_perm_failure
    }

    /// Whether the device answers at this moment: one that was just removed does not, before the
    /// PCI core knows it. May be called in any context; takes as long as a completion time-out.
    fn is_present(&self) -> bool {
        // Not the identification, which reads as all ones for a virtual function. Reserved bits of
        // this register read as zeros.
        let command = || topology::read_dword(self.as_pci(), bindings::PCI_COMMAND);
        !self.is_disconnected() && command().is_some_and(|value| value != u32::MAX)
    }

    /// Whether the device has a driver at this moment.
    fn is_bound(&self) -> bool {
        crate::device::has_driver(self.as_dev())
    }

    /// Whether the device's driver is called `name`. Takes the device's lock, so it may sleep.
    fn is_bound_to(&self, name: &CStr) -> bool {
        // SAFETY: The device is valid, and the name is a C string.
        unsafe { bindings::siov_helper_dev_is_bound_to(self.as_dev().as_raw(), name.as_char_ptr()) }
    }

    /// What carries the function's requests to the root complex.
    fn path_to_root(&self) -> PathToRoot {
        topology::path_to_root(self.as_pci())
    }

    /// Whether this is `bridge` or lies below it.
    fn is_below(&self, bridge: &Device) -> bool {
        topology::is_below(self.as_pci(), bridge)
    }

    /// Requester id of the physical function: its own unless this is a VF.
    fn physical_function(&self) -> Bdf {
        topology::physical_function(self.as_pci())
    }

    /// Calls `f` for each requester id that this function's DMA may carry where the remapping unit
    /// sees it: its own first, those that its quirks name, and those of conventional PCI bridges
    /// above it.
    ///
    /// # Errors
    ///
    /// The first of `f`.
    fn for_each_alias(&self, mut f: impl FnMut(Bdf) -> Result) -> Result
    where
        Self: Sized,
    {
        topology::for_each_alias(self.as_pci(), &mut f)
    }

    /// Unbinds the device's driver, as writing to `unbind` in sysfs does.
    fn unbind(&self) {
        // SAFETY: The device is valid, and the function takes the locks. Code that relies on the
        // driver being bound is code that the driver waits for before it is unbound.
        unsafe { bindings::device_release_driver(self.as_dev().as_raw()) };
    }

    /// Looks for a driver again, as writing to `bind` in sysfs does.
    ///
    /// # Errors
    ///
    /// Those of binding.
    fn rebind(&self) -> Result {
        // SAFETY: The device is valid, and the function takes the locks.
        to_result(unsafe { bindings::device_attach(self.as_dev().as_raw()) })
    }
}

impl<Ctx: DeviceContext> DeviceExt for Device<Ctx> {
    fn as_dev(&self) -> &device::Device {
        // SAFETY: The device is valid, and the generic one lies in it.
        let dev = unsafe { &raw mut (*self.as_raw()).dev };
        // SAFETY: The generic device is valid as long as this one is.
        unsafe { device::Device::from_raw(dev) }
    }

    fn as_pci(&self) -> &Device {
        // SAFETY: Devices of all contexts have the same layout, and `Normal` promises nothing.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}

/// Prints as the kernel names the device: `0000:00:03.0`.
pub struct Name<'a>(pub &'a Device);

impl core::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0.as_dev().name().to_str().unwrap_or("?"))
    }
}
