// SPDX-License-Identifier: GPL-2.0

//! PCI functions as an IOMMU driver sees them: requester ids, bridges, ATS and PASID.
//!
//! C headers: [`include/linux/pci.h`](srctree/include/linux/pci.h),
//! [`include/linux/pci-ats.h`](srctree/include/linux/pci-ats.h)

use crate::abi::Object;
use crate::bindings;
use crate::iommu::Group;
use core::ops::{Deref, RangeInclusive};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use siov_types::{Bdf, Segment, PAGE_SHIFT};

/// A PCI function (`struct pci_dev`).
#[repr(transparent)]
pub struct Device(Opaque<bindings::pci_dev>);

// SAFETY: What we read is fixed while the device exists, or is read once as C code reads it.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

// SAFETY: A transparent `Opaque`, which the PCI core has initialised.
unsafe impl Object<bindings::pci_dev> for Device {}

/// The C functions called here.
pub(crate) mod c {
    use super::{Bus, Device};
    use crate::bindings;

    // SAFETY: These read and write configuration space and flags of a function that exists, and lock
    // what they must.
    crate::c_functions!(unsafe {
        pub(crate) fn pci_ats_supported(dev: &Device) -> bool;
        pub(crate) fn pci_prepare_ats(dev: &Device, page_shift: i32) -> i32;
        pub(crate) fn pci_enable_ats(dev: &Device, page_shift: i32) -> i32;
        pub(crate) fn pci_disable_ats(dev: &Device);
        pub(crate) fn siov_helper_pci_ats_queue_depth(dev: &Device) -> i32;
        pub(crate) fn pci_max_pasids(dev: &Device) -> i32;
        pub(crate) fn pci_pasid_features(dev: &Device) -> i32;
        pub(crate) fn pci_enable_pasid(dev: &Device, features: i32) -> i32;
        pub(crate) fn pci_disable_pasid(dev: &Device);
        pub(crate) fn pci_find_ext_capability(dev: &Device, cap: i32) -> u16;
        pub(crate) fn pci_read_config_word(dev: &Device, at: i32, value: &mut u16) -> i32;
        pub(crate) fn pci_write_config_word(dev: &Device, at: i32, value: u16) -> i32;
        pub(crate) fn pci_enable_device_mem(dev: &Device) -> i32;
        pub(crate) fn pci_disable_device(dev: &Device);
        pub(crate) fn pci_set_master(dev: &Device);
        pub(crate) fn pci_clear_master(dev: &Device);
        pub(crate) fn siov_helper_pci_resource_start(dev: &Device, bar: i32) -> u64;
        pub(crate) fn siov_helper_pci_resource_len(dev: &Device, bar: i32) -> u64;
        pub(crate) fn pci_alloc_irq_vectors(dev: &Device, min: u32, max: u32, flags: u32) -> i32;
        pub(crate) fn pci_free_irq_vectors(dev: &Device);
        pub(super) fn siov_helper_pci_domain_nr(bus: &Bus) -> i32;
        pub(crate) fn pci_irq_vector(dev: &Device, index: u32) -> i32;
    });

    // SAFETY: These return a reference, or null; they take plain numbers, or a function that exists.
    crate::c_functions!(unsafe {
        pub(super) fn pci_dev_get(dev: &Device) -> *mut bindings::pci_dev;
        pub(super) fn siov_helper_pci_physfn(dev: &Device) -> *mut bindings::pci_dev;
        pub(super) fn pci_get_domain_bus_and_slot(
            domain: i32,
            bus: u32,
            devfn: u32,
        ) -> *mut bindings::pci_dev;
    });

    // SAFETY: These want a device that exists and none of whose locks is held.
    crate::c_functions!(unsafe {
        pub(super) fn siov_helper_dev_to_node(dev: &kernel::device::Device) -> i32;
        pub(super) fn device_release_driver(dev: &kernel::device::Device);
        pub(super) fn device_attach(dev: &kernel::device::Device) -> i32;
    });
}

/// The bus that a function is on (`struct pci_bus`).
#[repr(transparent)]
pub(crate) struct Bus(Opaque<bindings::pci_bus>);

// SAFETY: A transparent `Opaque`, which the PCI core has initialised.
unsafe impl Object<bindings::pci_bus> for Bus {}

impl Bus {
    fn fields(&self) -> &bindings::pci_bus {
        // SAFETY: The bus is initialised, and we read what does not change any more.
        unsafe { &*self.as_raw() }
    }
}

/// A reference to a [`Device`] that keeps it from being freed.
pub struct DeviceRef(NonNull<Device>);

// SAFETY: The reference count is atomic.
unsafe impl Send for DeviceRef {}
// SAFETY: As above.
unsafe impl Sync for DeviceRef {}

impl Deref for DeviceRef {
    type Target = Device;

    fn deref(&self) -> &Device {
        // SAFETY: The reference keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for DeviceRef {
    fn drop(&mut self) {
        // SAFETY: This gives back the reference that we hold.
        unsafe { bindings::pci_dev_put(self.as_raw()) };
    }
}

impl DeviceRef {
    /// # Safety
    ///
    /// `ptr` is null or comes with a reference that the result takes over.
    unsafe fn from_raw(ptr: *mut bindings::pci_dev) -> Option<Self> {
        NonNull::new(ptr.cast()).map(Self)
    }
}

/// What lies between a function and the root complex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathToRoot {
    /// Nothing: it is part of the root complex.
    Integrated,
    /// This root port, and PCI Express all the way.
    Port(Bdf),
    /// Conventional PCI somewhere.
    Conventional,
}

/// Every PCI function of the machine, parents before children.
pub fn devices() -> impl Iterator<Item = DeviceRef> {
    let mut last: Option<DeviceRef> = None;
    core::iter::from_fn(move || {
        let from = last.take().map_or(core::ptr::null_mut(), |d| {
            let raw = d.as_raw();
            core::mem::forget(d);
            raw
        });
        // SAFETY: The reference to `from` is given up, and one to the result received.
        let next = unsafe { bindings::pci_get_device(ANY_ID, ANY_ID, from) };
        // SAFETY: As above.
        last = unsafe { DeviceRef::from_raw(next) };
        last.as_ref().map(|d| d.get())
    })
}

const ANY_ID: u32 = !0;

/// The function at this address, if there is one.
pub fn find(segment: Segment, bdf: Bdf) -> Option<DeviceRef> {
    let found =
        c::pci_get_domain_bus_and_slot(segment.0.into(), bdf.bus().into(), bdf.devfn().into());
    // SAFETY: With a reference for us, or null.
    unsafe { DeviceRef::from_raw(found) }
}

/// The buses below the bridge at this address.
pub fn buses_below(segment: Segment, bridge: Bdf) -> Option<RangeInclusive<u8>> {
    find(segment, bridge)?.buses_below()
}

impl Device {
    /// The device as a PCI function, if it is one.
    pub(crate) fn from_dev(dev: &kernel::device::Device) -> Option<&Self> {
        let dev = dev.as_raw();
        // SAFETY: Devices on the PCI bus are embedded in a `struct pci_dev`, and a device stays on its bus.
        unsafe {
            let is_pci = (*dev).bus == &raw const bindings::pci_bus_type;
            is_pci.then(|| &*kernel::container_of!(dev, bindings::pci_dev, dev).cast())
        }
    }

    fn fields(&self) -> &bindings::pci_dev {
        // SAFETY: The device is initialised, and we read what does not change any more.
        unsafe { &*self.as_raw() }
    }

    fn bus(&self) -> &Bus {
        // SAFETY: The bus of a device lives as long as the device.
        unsafe { &*self.fields().bus.cast() }
    }

    /// Another reference.
    pub fn get(&self) -> DeviceRef {
        c::pci_dev_get(self);
        DeviceRef(NonNull::from(self))
    }

    /// The generic device, for messages.
    pub fn as_dev(&self) -> &kernel::device::Device {
        // SAFETY: It is part of this one.
        unsafe { kernel::device::Device::from_raw(&raw mut (*self.as_raw()).dev) }
    }

    /// Segment group.
    pub fn segment(&self) -> Segment {
        Segment(c::siov_helper_pci_domain_nr(self.bus()) as u16)
    }

    /// Requester id.
    pub fn bdf(&self) -> Bdf {
        Bdf::new(self.bus().fields().number, self.fields().devfn as u8)
    }

    /// Vendor and device, as in configuration space.
    pub fn id(&self) -> (u16, u16) {
        (self.fields().vendor, self.fields().device)
    }

    /// NUMA node, or -1.
    pub fn node(&self) -> i32 {
        c::siov_helper_dev_to_node(self.as_dev())
    }

    /// Base class, subclass and programming interface, as in configuration space.
    pub fn class(&self) -> u32 {
        self.fields().class
    }

    /// Whether firmware marked the device, or the port it sits behind, as reachable from outside of
    /// the machine.
    pub fn is_untrusted(&self) -> bool {
        self.fields().untrusted() != 0
    }

    /// Whether the device has a driver now.
    pub fn is_bound(&self) -> bool {
        !self.fields().dev.driver.is_null()
    }

    /// Whether the device's driver is called `name`.
    pub fn is_bound_to(&self, name: &CStr) -> bool {
        let driver = self.fields().dev.driver;
        // SAFETY: A driver has a name as long as it is bound; the caller's context (probing, module
        // load) keeps it from being unbound.
        !driver.is_null() && unsafe { CStr::from_char_ptr((*driver).name) } == name
    }

    /// Whether somebody holds the DMA of the device's IOMMU group: a driver that uses the DMA API and
    /// was bound when the group was there, or user space.
    pub fn dma_is_claimed(&self) -> bool {
        Group::of(self.as_dev()).is_some_and(|group| group.dma_is_claimed())
    }

    /// For a bridge, the buses below it.
    pub fn buses_below(&self) -> Option<RangeInclusive<u8>> {
        // SAFETY: The secondary bus of a bridge lives as long as the bridge.
        let res = unsafe { self.fields().subordinate.as_ref() }?.busn_res;
        Some(res.start as u8..=res.end as u8)
    }

    /// The bridge above; `None` on a root bus.
    pub fn upstream_bridge(&self) -> Option<&Device> {
        // SAFETY: A device's parents live as long as the device.
        unsafe { self.bus().fields().self_.cast::<Device>().as_ref() }
    }

    /// What carries the function's requests to the root complex.
    pub fn path_to_root(&self) -> PathToRoot {
        let mut path = PathToRoot::Integrated;
        let mut at = self.upstream_bridge();
        while let Some(bridge) = at {
            match bridge.pcie_type() {
                Some(bindings::PCI_EXP_TYPE_ROOT_PORT) => path = PathToRoot::Port(bridge.bdf()),
                Some(bindings::PCI_EXP_TYPE_UPSTREAM | bindings::PCI_EXP_TYPE_DOWNSTREAM) => {}
                _ => return PathToRoot::Conventional,
            }
            at = bridge.upstream_bridge();
        }
        path
    }

    /// Whether this is `bridge` or lies below it.
    pub fn is_below(&self, bridge: &Device) -> bool {
        let mut at = Some(self);
        while let Some(device) = at {
            if core::ptr::eq(device, bridge) {
                return true;
            }
            at = device.upstream_bridge();
        }
        false
    }

    /// Calls `f` for each requester id that this function's DMA may carry where the remapping unit
    /// sees it: its own, those its quirks name, and those of conventional PCI bridges above it
    /// (`pci_for_each_dma_alias()`, which is not exported).
    pub fn for_each_alias(&self, mut f: impl FnMut(Bdf) -> Result) -> Result {
        f(self.bdf())?;

        let mask = self.fields().dma_alias_mask;
        if !mask.is_null() {
            for devfn in 0..=u8::MAX {
                // SAFETY: The mask has one bit for each of 256 functions of the bus.
                let word = unsafe { *mask.add(usize::from(devfn) / 64) };
                if word >> (devfn % 64) & 1 != 0 {
                    f(Bdf::new(self.bdf().bus(), devfn))?;
                }
            }
        }

        let mut at = self.upstream_bridge();
        while let Some(bridge) = at {
            if bridge.has_flag(bindings::pci_dev_flags_PCI_DEV_FLAGS_BRIDGE_XLATE_ROOT) {
                break;
            }
            if let Some(alias) = bridge.alias_of_children() {
                f(alias)?;
            }
            at = bridge.upstream_bridge();
        }
        Ok(())
    }

    /// The requester id that this bridge puts on what it forwards upstream, when it takes ownership
    /// (PCI Express to PCI/PCI-X Bridge Specification 1.0, 2.3).
    fn alias_of_children(&self) -> Option<Bdf> {
        let of_secondary_bus = || Some(Bdf::new(*self.buses_below()?.start(), 0));
        match self.pcie_type() {
            Some(bindings::PCI_EXP_TYPE_PCI_BRIDGE) => {
                if self.has_flag(bindings::pci_dev_flags_PCI_DEV_FLAGS_PCI_BRIDGE_NO_ALIAS) {
                    None
                } else {
                    of_secondary_bus()
                }
            }
            Some(bindings::PCI_EXP_TYPE_PCIE_BRIDGE) => Some(self.bdf()),
            Some(_) => None,
            None if self.has_flag(bindings::pci_dev_flags_PCI_DEV_FLAG_PCIE_BRIDGE_ALIAS) => {
                of_secondary_bus()
            }
            None => Some(self.bdf()),
        }
    }

    fn has_flag(&self, flag: bindings::pci_dev_flags) -> bool {
        u32::from(self.fields().dev_flags) & flag != 0
    }

    /// Device/port type of the PCIe capability; `None` for conventional PCI.
    fn pcie_type(&self) -> Option<u32> {
        let fields = self.fields();
        (fields.pcie_cap != 0)
            .then(|| (u32::from(fields.pcie_flags_reg) & bindings::PCI_EXP_FLAGS_TYPE) >> 4)
    }

    /// Switches on the access control services that keep peer-to-peer requests from bypassing the
    /// IOMMU, as the kernel does at boot when an IOMMU driver has asked for it: source validation,
    /// and redirection of requests and completions upstream (PCIe spec, 6.12).
    pub fn enable_acs(&self) {
        let cap = c::pci_find_ext_capability(self, bindings::PCI_EXT_CAP_ID_ACS as i32);
        if cap == 0 {
            return;
        }
        let at = |register: u32| i32::from(cap) + register as i32;
        let (mut have, mut control) = (0, 0);
        let control_at = at(bindings::PCI_ACS_CTRL);
        if c::pci_read_config_word(self, at(bindings::PCI_ACS_CAP), &mut have) != 0
            || c::pci_read_config_word(self, control_at, &mut control) != 0
        {
            return;
        }
        let wanted = (bindings::PCI_ACS_SV
            | bindings::PCI_ACS_RR
            | bindings::PCI_ACS_CR
            | bindings::PCI_ACS_UF) as u16;
        c::pci_write_config_word(self, control_at, control | (have & wanted));
    }

    /// Whether the function has ATS and the kernel allows its use.
    pub fn ats_supported(&self) -> bool {
        c::pci_ats_supported(self)
    }

    /// Tells the function the smallest translation unit it will be used with; before
    /// [`Self::enable_ats`].
    pub fn prepare_ats(&self) -> Result {
        to_result(c::pci_prepare_ats(self, PAGE_SHIFT as i32))
    }

    /// Lets the function ask for translations.
    pub fn enable_ats(&self) -> Result {
        to_result(c::pci_enable_ats(self, PAGE_SHIFT as i32))
    }

    /// Ends what [`Self::enable_ats`] began.
    pub fn disable_ats(&self) {
        c::pci_disable_ats(self);
    }

    /// Number of invalidation requests the function's ATS can hold, 1 to 32; a VF's is that of its
    /// PF (PCIe spec, 10.5.1.2).
    pub fn ats_queue_depth(&self) -> u8 {
        c::siov_helper_pci_ats_queue_depth(self) as u8
    }

    /// Requester id of the physical function: its own unless this is a VF.
    pub fn physical_function(&self) -> Bdf {
        // SAFETY: A VF keeps its PF alive.
        let pf: &Device = unsafe { &*c::siov_helper_pci_physfn(self).cast() };
        pf.bdf()
    }

    /// Number of PASIDs the function can use; 0 without PASID capability.
    pub fn max_pasids(&self) -> u32 {
        u32::try_from(c::pci_max_pasids(self)).unwrap_or(0)
    }

    /// Lets the function tag its requests with PASIDs.
    pub fn enable_pasid(&self) -> Result {
        let features = c::pci_pasid_features(self);
        to_result(features)?;
        to_result(c::pci_enable_pasid(self, features))
    }

    /// Ends what [`Self::enable_pasid`] began.
    pub fn disable_pasid(&self) {
        c::pci_disable_pasid(self);
    }

    /// Unbinds the device's driver, as writing to `unbind` in sysfs does.
    pub fn unbind(&self) {
        c::device_release_driver(self.as_dev());
    }

    /// Looks for a driver again, as writing to `bind` in sysfs does.
    pub fn rebind(&self) -> Result {
        to_result(c::device_attach(self.as_dev()))
    }
}

/// Prints as the kernel names the device: `0000:00:03.0`.
impl core::fmt::Display for Device {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:04x}:{}", self.segment().0, self.bdf())
    }
}
