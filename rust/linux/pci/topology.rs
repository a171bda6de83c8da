// SPDX-License-Identifier: GPL-2.0

//! Bridges above a function, and the requester ids that its DMA carries.
//!
//! A device holds a reference to its bus, and a bus one to its bridge, so the way up from a device
//! exists as long as the device. The way down does not: a bus below a bridge can be removed at any
//! time, and what is asked of it is read from the bridge's configuration space. Nor does the way up
//! from a VF on a bus number of its own, which has no bridge: it begins at the physical function.

use super::{bus_of, find, Device, DeviceExt};
use crate::bindings;
use crate::object::Object;
use core::ops::RangeInclusive;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use siov_types::{Bdf, Segment};

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

/// The buses below the bridge at this address; `None` when there is no bridge.
pub fn buses_below(segment: Segment, bridge: Bdf) -> Option<RangeInclusive<u8>> {
    let bridge = find(segment, bridge)?;
    if !bridge.is_bridge() {
        return None;
    }
    // Both kinds of bridge have these two registers at the same place.
    let secondary = read_byte(&bridge, bindings::PCI_SECONDARY_BUS)?;
    let subordinate = read_byte(&bridge, bindings::PCI_SUBORDINATE_BUS)?;
    (secondary != 0 && secondary <= subordinate).then_some(secondary..=subordinate)
}

fn read_byte(dev: &Device, at: u32) -> Option<u8> {
    let mut value = 0;
    // SAFETY: The device is valid, and the value is ours.
    let ret = unsafe { bindings::pci_read_config_byte(dev.as_raw(), at as i32, &raw mut value) };
    (ret == 0).then_some(value)
}

/// Reads configuration space; `None` when the device is known not to answer. May be called in any
/// context.
pub(super) fn read_dword(dev: &Device, at: u32) -> Option<u32> {
    let mut value = 0;
    // SAFETY: The device is valid, and the value is ours.
    let ret = unsafe { bindings::pci_read_config_dword(dev.as_raw(), at as i32, &raw mut value) };
    (ret == 0).then_some(value)
}

/// The bridge above; `None` on a root bus.
fn upstream_bridge(dev: &Device) -> Option<&Device> {
    // SAFETY: A device holds a reference to its bus, whose bridge does not change.
    let bridge: *mut bindings::pci_dev = unsafe { (*bus_of(dev)).self_ };
    // SAFETY: A bus holds a reference to its bridge, if it has one.
    unsafe { bridge.cast::<Device>().as_ref() }
}

/// The number of the bus that a function is on.
fn bus_number(dev: &Device) -> u8 {
    dev.bdf().bus()
}

/// Device/port type of the PCIe capability; `None` for conventional PCI.
fn pcie_type(dev: &Device) -> Option<u32> {
    // SAFETY: The device is valid, and the field does not change.
    let capability = unsafe { (*dev.as_raw()).pcie_cap };
    // SAFETY: As above.
    let flags = unsafe { (*dev.as_raw()).pcie_flags_reg };
    (capability != 0).then(|| (u32::from(flags) & bindings::PCI_EXP_FLAGS_TYPE) >> 4)
}

pub(super) fn is_root_port(dev: &Device) -> bool {
    pcie_type(dev) == Some(bindings::PCI_EXP_TYPE_ROOT_PORT)
}

fn has_flag(dev: &Device, flag: bindings::pci_dev_flags) -> bool {
    // SAFETY: The device is valid. Quirks set flags before a driver sees the device.
    let flags = unsafe { (*dev.as_raw()).dev_flags };
    u32::from(flags) & flag != 0
}

/// The physical function of a VF; `None` for others, and for a VF that has been removed: it holds
/// no reference to its physical function any more.
fn physfn(dev: &Device) -> Option<ARef<Device>> {
    // SAFETY: The device is valid; the pointer that is returned is only compared.
    let pf = unsafe { bindings::siov_helper_pci_physfn(dev.as_raw()) };
    if core::ptr::eq(pf, dev.as_raw()) {
        return None;
    }
    super::devices().find(|candidate| core::ptr::eq(candidate.as_raw(), pf))
}

/// What carries the function's requests to the root complex.
pub(super) fn path_to_root(dev: &Device) -> PathToRoot {
    let physfn = physfn(dev);
    let mut path = PathToRoot::Integrated;
    let mut at = upstream_bridge(physfn.as_deref().unwrap_or(dev));
    while let Some(bridge) = at {
        match pcie_type(bridge) {
            Some(bindings::PCI_EXP_TYPE_ROOT_PORT) => path = PathToRoot::Port(bridge.bdf()),
            Some(bindings::PCI_EXP_TYPE_UPSTREAM | bindings::PCI_EXP_TYPE_DOWNSTREAM) => {}
            _ => return PathToRoot::Conventional,
        }
        at = upstream_bridge(bridge);
    }
    path
}

/// Whether `dev` is `bridge` or lies below it.
pub(super) fn is_below(dev: &Device, bridge: &Device) -> bool {
    let physfn = physfn(dev);
    let mut at = Some(physfn.as_deref().unwrap_or(dev));
    while let Some(device) = at {
        if core::ptr::eq(device, bridge) {
            return true;
        }
        at = upstream_bridge(device);
    }
    false
}

/// Requester id of the physical function: its own unless `dev` is a VF.
pub(super) fn physical_function(dev: &Device) -> Bdf {
    physfn(dev).map_or(dev.bdf(), |pf| pf.bdf())
}

/// Calls `f` for each requester id that DMA of `dev` may carry where the remapping unit sees it:
/// its own, those that its quirks name, and those of conventional PCI bridges above it
/// (`pci_for_each_dma_alias()`, which is not exported).
pub(super) fn for_each_alias(dev: &Device, f: &mut dyn FnMut(Bdf) -> Result) -> Result {
    f(dev.bdf())?;

    // SAFETY: The device is valid; quirks set the mask before a driver sees the device.
    let mask = unsafe { (*dev.as_raw()).dma_alias_mask };
    if !mask.is_null() {
        for devfn in 0..=u8::MAX {
            let word = mask.wrapping_add(usize::from(devfn) / 64);
            // SAFETY: The mask has one bit for each of 256 functions, and is freed with the device.
            let word = unsafe { word.read_volatile() };
            if word >> (devfn % 64) & 1 != 0 {
                f(Bdf::new(bus_number(dev), devfn))?;
            }
        }
    }

    let physfn = physfn(dev);
    let mut below = physfn.as_deref().unwrap_or(dev);
    while let Some(bridge) = upstream_bridge(below) {
        if has_flag(
            bridge,
            bindings::pci_dev_flags_PCI_DEV_FLAGS_BRIDGE_XLATE_ROOT,
        ) {
            break;
        }
        if let Some(alias) = alias_of_children(bridge, bus_number(below)) {
            f(alias)?;
        }
        below = bridge;
    }
    Ok(())
}

/// The requester id that `bridge` puts on what it forwards upstream from its secondary bus, when it
/// takes ownership (PCI Express to PCI/PCI-X Bridge Specification 1.0, 2.3).
fn alias_of_children(bridge: &Device, secondary: u8) -> Option<Bdf> {
    let of_secondary_bus = Some(Bdf::new(secondary, 0));
    match pcie_type(bridge) {
        Some(bindings::PCI_EXP_TYPE_PCI_BRIDGE) => {
            if has_flag(
                bridge,
                bindings::pci_dev_flags_PCI_DEV_FLAGS_PCI_BRIDGE_NO_ALIAS,
            ) {
                None
            } else {
                of_secondary_bus
            }
        }
        Some(bindings::PCI_EXP_TYPE_PCIE_BRIDGE) => Some(bridge.bdf()),
        Some(_) => None,
        None if has_flag(
            bridge,
            bindings::pci_dev_flags_PCI_DEV_FLAG_PCIE_BRIDGE_ALIAS,
        ) =>
        {
            of_secondary_bus
        }
        None => Some(bridge.bdf()),
    }
}
