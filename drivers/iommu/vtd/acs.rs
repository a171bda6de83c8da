// SPDX-License-Identifier: GPL-2.0

//! Access control services (ACS), without which requests between functions bypass the unit. The
//! IOMMU core makes groups by what is on when a function is probed.
//!
//! The kernel switches ACS on, and on again after each reset, for an IOMMU driver that asks before
//! PCI is enumerated, or for `pci=config_acs=`. This driver is loaded later, so what it switches on
//! itself lasts until the next reset. Root ports are reset by sleep alone, and it restores them
//! before any device wakes. Ports of switches and functions of a device are reset at any time, by
//! error recovery or by the user who owns one; no groups are built on what nobody restores.

use crate::unit::Unit;
use kernel::prelude::*;
use linux::pci::{AccessControl, Device, DeviceExt};

/// Before the group of `pdev` is made.
pub(crate) fn probe(pdev: &Device) {
    let Some(acs) = AccessControl::of(pdev) else {
        return;
    };
    if pdev.is_root_port() {
        acs.isolate();
    } else if !acs.isolates() {
        dev_info!(
            pdev.as_dev(),
            "ACS off, larger group: boot with pci=config_acs=111x1@pci:0:0\n"
        );
    }
}

/// After sleep, before the devices of `unit` wake.
pub(crate) fn restore(unit: &Unit) {
    unit.devices().for_each_locked(|device| {
        if device.pci().is_root_port() {
            if let Some(acs) = AccessControl::of(device.pci()) {
                acs.isolate();
            }
        }
    });
}
