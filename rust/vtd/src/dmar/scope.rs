// SPDX-License-Identifier: GPL-2.0

//! Device scopes: which devices a structure is about (VT-d spec, 8.3.1).

use siov_types::Bdf;

use super::error::{Error, ErrorKind};

/// Bytes of a device scope before its path.
const HEADER: usize = 6;

/// Bytes of a path element: device and function.
const ELEMENT: usize = 2;

/// What a device scope identifies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScopeKind {
    /// One PCI function.
    Endpoint,
    /// A bridge and all that is below it.
    SubHierarchy,
    /// An I/O APIC, by the id in the ACPI MADT.
    IoApic,
    /// A timer block that sends message-signalled interrupts, by the id in the ACPI HPET table.
    Hpet,
    /// A device of the ACPI namespace, by the number in a
    /// [`NamespaceDevice`](super::NamespaceDevice).
    Namespace,
    /// Reserved; to be skipped.
    Unknown(u8),
}

impl ScopeKind {
    const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Endpoint,
            2 => Self::SubHierarchy,
            3 => Self::IoApic,
            4 => Self::Hpet,
            5 => Self::Namespace,
            other => Self::Unknown(other),
        }
    }
}

/// A device scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceScope<'a> {
    /// What it identifies.
    pub kind: ScopeKind,
    /// Id of an I/O APIC, HPET or namespace device.
    pub enumeration_id: u8,
    /// Bus that the path starts on.
    pub start_bus: u8,
    /// Pairs of device and function.
    path: &'a [u8],
}

impl<'a> DeviceScope<'a> {
    /// Devfn of each function on the way from the start bus to the device: bridges, then the
    /// device.
    pub fn path(self) -> impl Iterator<Item = u8> + use<'a> {
        self.elements()
            .map(|(device, function)| ((device & 0x1f) << 3) | (function & 7))
    }

    fn elements(self) -> impl Iterator<Item = (u8, u8)> + use<'a> {
        self.path
            .chunks_exact(ELEMENT)
            .filter_map(|pair| match *pair {
                [device, function] => Some((device, function)),
                _ => None,
            })
    }

    /// The function that the path leads to, where `first_bus_below` tells the bus below a bridge;
    /// `None` when a function on the way is no bridge, or not there.
    pub fn resolve(self, mut first_bus_below: impl FnMut(Bdf) -> Option<u8>) -> Option<Bdf> {
        let mut found = None;
        for devfn in self.path() {
            let bus = match found {
                None => self.start_bus,
                Some(bridge) => first_bus_below(bridge)?,
            };
            found = Some(Bdf::new(bus, devfn));
        }
        found
    }

    /// Splits the first device scope off `bytes`, which lie at `offset` in the table.
    fn split_first(bytes: &'a [u8], offset: usize) -> Result<(Self, &'a [u8]), Error> {
        let error = |kind| Error { offset, kind };
        let left = bytes.len();
        let Some(&[kind, length, _flags, _, enumeration_id, start_bus]) = bytes.first_chunk()
        else {
            return Err(error(ErrorKind::ScopeTooShort { length: 0 }));
        };
        if usize::from(length) < HEADER + ELEMENT {
            return Err(error(ErrorKind::ScopeTooShort { length }));
        }
        let Some((this, rest)) = bytes.split_at_checked(usize::from(length)) else {
            return Err(error(ErrorKind::ScopeTruncated { length, left }));
        };
        let scope = Self {
            kind: ScopeKind::from_raw(kind),
            enumeration_id,
            start_bus,
            path: this.get(HEADER..).unwrap_or(&[]),
        };
        // Nobody knows what a scope of an unknown kind holds.
        if !matches!(scope.kind, ScopeKind::Unknown(_)) {
            if scope.path.len() % ELEMENT != 0 {
                return Err(error(ErrorKind::ScopePathOdd { length }));
            }
            for (device, function) in scope.elements() {
                if device > 0x1f || function > 7 {
                    return Err(error(ErrorKind::ScopePathElement { device, function }));
                }
            }
        }
        Ok((scope, rest))
    }
}

/// The device scopes of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scopes<'a>(&'a [u8]);

impl<'a> Scopes<'a> {
    /// Checks the device scopes in `bytes`, which lie at `offset` in the table.
    pub(super) fn parse(bytes: &'a [u8], mut offset: usize) -> Result<Self, Error> {
        let mut left = bytes;
        while !left.is_empty() {
            let (_, rest) = DeviceScope::split_first(left, offset)?;
            // A scope is never empty, so this ends.
            offset = offset.saturating_add(left.len() - rest.len());
            left = rest;
        }
        Ok(Self(bytes))
    }

    /// The bytes of the table that hold them.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> IntoIterator for Scopes<'a> {
    type Item = DeviceScope<'a>;
    type IntoIter = ScopeIter<'a>;

    fn into_iter(self) -> ScopeIter<'a> {
        ScopeIter(self.0)
    }
}

/// Iterator over device scopes, in the order of the table.
#[derive(Clone, Debug)]
pub struct ScopeIter<'a>(&'a [u8]);

impl<'a> Iterator for ScopeIter<'a> {
    type Item = DeviceScope<'a>;

    fn next(&mut self) -> Option<DeviceScope<'a>> {
        // Checked in `Scopes::parse`: the only error left is that there is nothing more.
        let (scope, rest) = DeviceScope::split_first(self.0, 0).ok()?;
        self.0 = rest;
        Some(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_path_through_two_bridges() {
        // Endpoint, start bus 0x10, path 1c.0, 00.0, 02.3.
        let bytes = [1, 12, 0, 0, 0, 0x10, 0x1c, 0, 0, 0, 2, 3];
        let scope = Scopes::parse(&bytes, 0)
            .unwrap()
            .into_iter()
            .next()
            .unwrap();
        assert_eq!(scope.kind, ScopeKind::Endpoint);
        assert_eq!(scope.path().collect::<Vec<_>>(), [0xe0, 0x00, 0x13]);
        let mut asked = Vec::new();
        let found = scope.resolve(|bridge| {
            asked.push(bridge);
            Some(bridge.bus() + 3)
        });
        assert_eq!(found, Some(Bdf::new(0x16, 0x13)));
        assert_eq!(asked, [Bdf::new(0x10, 0xe0), Bdf::new(0x13, 0x00)]);
        assert_eq!(scope.resolve(|_| None), None);
    }

    #[test]
    fn lengths() {
        let kind = |bytes| Scopes::parse(bytes, 0x40).map_err(|e| (e.offset, e.kind));
        assert_eq!(kind(&[]), Ok(Scopes(&[])));
        for (bytes, error) in [
            (&[1, 8, 0, 0, 0][..], ErrorKind::ScopeTooShort { length: 0 }),
            (
                &[1, 0, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopeTooShort { length: 0 },
            ),
            (
                &[1, 6, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopeTooShort { length: 6 },
            ),
            (
                &[1, 9, 0, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopePathOdd { length: 9 },
            ),
            (
                &[1, 10, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopeTruncated {
                    length: 10,
                    left: 8,
                },
            ),
            (
                &[1, 8, 0, 0, 0, 0, 0x20, 0],
                ErrorKind::ScopePathElement {
                    device: 0x20,
                    function: 0,
                },
            ),
            (
                &[3, 8, 0, 0, 0, 0, 0x1f, 8],
                ErrorKind::ScopePathElement {
                    device: 0x1f,
                    function: 8,
                },
            ),
        ] {
            assert_eq!(kind(bytes), Err((0x40, error)), "{bytes:x?}");
        }
        // The offset is that of the scope.
        let second = [1, 8, 0, 0, 0, 0, 0, 0, 1, 4];
        assert_eq!(
            kind(&second),
            Err((0x48, ErrorKind::ScopeTooShort { length: 0 }))
        );
        // Reserved kinds are skipped whatever they hold.
        let bytes = [9, 9, 0, 0, 0, 0, 0xff, 0xff, 0xff, 5, 8, 0, 0, 7, 1, 2, 3];
        let scopes: Vec<_> = Scopes::parse(&bytes, 0).unwrap().into_iter().collect();
        assert_eq!(scopes.len(), 2);
        assert_eq!(scopes[0].kind, ScopeKind::Unknown(9));
        assert_eq!(
            (scopes[1].kind, scopes[1].enumeration_id),
            (ScopeKind::Namespace, 7)
        );
    }
}
