// SPDX-License-Identifier: GPL-2.0

//! What the devicetree says of this machine. Bindings: Documentation/devicetree/bindings of Linux.

use super::cpu::{is_el2, Mpidr};
use super::gic::{V2, V3};
use super::mmio::Mmio;
use super::psci::{self, Conduit};
use super::uart::Uart;
use crate::console;
use micro_bench_model::fdt::{total_size, Fdt, Node, Reg, HEADER_SIZE};

const PL011: &str = "arm,pl011";
const NS16550: &str = "ns16550a";

/// The devicetree.
pub struct Tree(Fdt<'static>);

fn device(reg: Reg) -> Mmio {
    // SAFETY: the devicetree says that this device has its registers there.
    unsafe { Mmio::new(reg.address) }
}

impl Tree {
    /// The one at this physical address, if there is one.
    ///
    /// # Safety
    ///
    /// The boot protocol says that a devicetree is at the address, unless that is 0. Nothing writes
    /// there.
    pub unsafe fn at(address: u64) -> Option<Self> {
        if address == 0 || address & 7 != 0 {
            return None;
        }
        let start = address as *const u8;
        // SAFETY: a devicetree is at the address, as required of the caller, and starts with its
        // header.
        let header = unsafe { core::slice::from_raw_parts(start, HEADER_SIZE) };
        let size = total_size(header).ok()?;
        // SAFETY: a devicetree is at the address, as required of the caller, of the size that its
        // header says.
        let blob = unsafe { core::slice::from_raw_parts(start, size) };
        Fdt::new(blob).ok().map(Self)
    }

    fn node(&self, path: &str) -> Option<Node<'static>> {
        self.0.at(path)
    }

    /// Sends output to the console, and learns how to switch the machine off.
    pub fn open_console(&self) {
        let chosen = self
            .node("/chosen")
            .and_then(|chosen| self.node(chosen.text("stdout-path")?))
            .filter(|node| node.is_compatible(PL011) || node.is_compatible(NS16550));
        let node = chosen.or_else(|| self.0.compatible(&[PL011, NS16550]).next());
        if let Some((node, reg)) = node.and_then(|node| Some((node, node.reg(0)?))) {
            console::init(match node.is_compatible(PL011) {
                true => Uart::Pl011(device(reg)),
                false => Uart::Ns16550(device(reg)),
            });
        }
        if let Some(conduit) = self.conduit() {
            psci::init(conduit);
        }
    }

    /// The kernel command line.
    pub fn command_line(&self) -> &'static str {
        self.node("/chosen")
            .and_then(|chosen| chosen.text("bootargs"))
            .unwrap_or("")
    }

    /// How firmware or the hypervisor is called.
    pub fn conduit(&self) -> Option<Conduit> {
        let psci = self
            .0
            .compatible(&["arm,psci-1.0", "arm,psci-0.2"])
            .next()?;
        match psci.text("method")? {
            "hvc" => Some(Conduit::Hvc),
            "smc" => Some(Conduit::Smc),
            _ => None,
        }
    }

    /// The first processor that is not this one.
    pub fn other_processor(&self) -> Option<Mpidr> {
        self.0
            .nodes()
            .filter(|node| node.text("device_type") == Some("cpu"))
            .filter_map(|node| Some(Mpidr::new(node.reg(0)?.address)))
            .find(|&mpidr| mpidr != Mpidr::current())
    }

    /// A GIC of version 2.
    pub fn gic_v2(&self) -> Option<V2> {
        let node = self
            .0
            .compatible(&["arm,cortex-a15-gic", "arm,gic-400"])
            .next()?;
        Some(V2 {
            distributor: device(node.reg(0)?),
            interface: device(node.reg(1)?),
        })
    }

    /// A GIC of version 3 or 4.
    pub fn gic_v3(&self) -> Option<V3> {
        let node = self.0.compatible(&["arm,gic-v3"]).next()?;
        let count = node.cell("#redistributor-regions", 0).unwrap_or(1) as usize;
        let mut regions = [None; V3::MAX_REGIONS];
        for (index, region) in regions.iter_mut().enumerate().take(count) {
            *region = node.reg(1 + index);
        }
        Some(V3 {
            distributor: device(node.reg(0)?),
            regions,
            stride: node.cell("redistributor-stride", 1).map(u64::from),
        })
    }

    /// The interrupt translation service of a GICv3.
    pub fn its(&self) -> Option<Mmio> {
        self.0
            .compatible(&["arm,gic-v3-its"])
            .next()?
            .reg(0)
            .map(device)
    }

    /// Interrupt number of the virtual timer of this exception level.
    pub fn timer(&self) -> Option<u32> {
        /// Three cells each: kind, number, flags. Secure, EL1 physical, virtual, hypervisor
        /// physical, hypervisor virtual.
        const VIRTUAL: usize = 2;
        const HYPERVISOR_VIRTUAL: usize = 4;
        const PRIVATE: u32 = 1;
        const FIRST_PRIVATE: u32 = 16;
        let node = self
            .0
            .compatible(&["arm,armv8-timer", "arm,armv7-timer"])
            .next()?;
        let entry = 3 * if is_el2() {
            HYPERVISOR_VIRTUAL
        } else {
            VIRTUAL
        };
        match node.cell("interrupts", entry)? {
            PRIVATE => node
                .cell("interrupts", entry + 1)
                .filter(|&n| n < 16)
                .map(|n| n + FIRST_PRIVATE),
            _ => None,
        }
    }

    /// The virtio transport of the lowest address, a device that user space emulates.
    pub fn virtio(&self) -> Option<Mmio> {
        self.0
            .compatible(&["virtio,mmio"])
            .filter_map(|node| node.reg(0))
            .min_by_key(|reg| reg.address)
            .map(device)
    }
}
