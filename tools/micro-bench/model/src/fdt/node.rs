// SPDX-License-Identifier: GPL-2.0

//! One node and its properties.

use super::{be32, string, Bus, NOP, PROP};

/// A node. Its properties are read where they stand.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Name with its unit address, `serial@9000000`; empty for the root.
    pub name: &'a str,
    /// Zero for the root.
    pub depth: usize,
    pub(super) properties: &'a [u8],
    pub(super) strings: &'a [u8],
    pub(super) bus: Bus,
}

/// An address range of `reg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg {
    /// Physical address.
    pub address: u64,
    /// In bytes.
    pub size: u64,
}

impl<'a> Node<'a> {
    /// The value of a property, byte for byte.
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        let mut offset = 0usize;
        loop {
            match be32(self.properties, offset)? {
                PROP => (),
                NOP => {
                    offset = offset.checked_add(4)?;
                    continue;
                }
                _ => return None,
            }
            let size = be32(self.properties, offset.checked_add(4)?)? as usize;
            let key = be32(self.properties, offset.checked_add(8)?)? as usize;
            let start = offset.checked_add(12)?;
            let end = start.checked_add(size)?;
            if string(self.strings, key) == Some(name) {
                return self.properties.get(start..end);
            }
            offset = end.checked_next_multiple_of(4)?;
        }
    }

    /// A property that is a string.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        string(self.property(name)?, 0)
    }

    /// The 32-bit cell `index` of a property.
    pub fn cell(&self, name: &str, index: usize) -> Option<u32> {
        be32(self.property(name)?, index.checked_mul(4)?)
    }

    /// Whether `compatible` lists `name`.
    pub fn is_compatible(&self, name: &str) -> bool {
        self.property("compatible").is_some_and(|list| {
            list.split(|&byte| byte == 0)
                .any(|item| item == name.as_bytes())
        })
    }

    /// Whether the device may be used: `status` is absent or "okay" (section 2.3.4).
    pub fn is_enabled(&self) -> bool {
        matches!(self.text("status"), None | Some("okay" | "ok"))
    }

    /// Entry `index` of `reg`, if its address is a physical one and both numbers fit.
    pub fn reg(&self, index: usize) -> Option<Reg> {
        if !self.bus.physical {
            return None;
        }
        let (address_cells, size_cells) = (
            self.bus.address_cells as usize,
            self.bus.size_cells as usize,
        );
        let stride = address_cells.checked_add(size_cells)?;
        let first = index.checked_mul(stride)?;
        Some(Reg {
            address: self.number("reg", first, address_cells)?,
            size: self.number("reg", first.checked_add(address_cells)?, size_cells)?,
        })
    }

    /// `count` cells from `first` on as one number; no cells are zero.
    fn number(&self, name: &str, first: usize, count: usize) -> Option<u64> {
        let high = match count {
            0 => return Some(0),
            1 => 0,
            2 => u64::from(self.cell(name, first)?),
            _ => return None,
        };
        let low = self.cell(name, first.checked_add(count)?.checked_sub(1)?)?;
        Some((high << 32) | u64::from(low))
    }

    /// How the addresses of this node's children are to be read.
    pub(super) fn children(&self) -> Bus {
        let is_root = self.depth == 0;
        let identity = self.property("ranges").is_some_and(<[u8]>::is_empty);
        Bus {
            address_cells: self
                .cell("#address-cells", 0)
                .unwrap_or(Bus::DEFAULT.address_cells),
            size_cells: self
                .cell("#size-cells", 0)
                .unwrap_or(Bus::DEFAULT.size_cells),
            // The children of /cpus have no `ranges` above them; their `reg` is no memory address,
            // but a number that is wanted all the same.
            physical: is_root || self.bus.physical && (identity || self.name == "cpus"),
        }
    }
}
