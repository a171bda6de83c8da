// SPDX-License-Identifier: GPL-2.0

//! Device scopes: which devices a structure is about (VT-d spec, 8.3.1).

use core::fmt;

use siov_types::Bdf;

use super::error::{Error, ErrorKind};
use super::remark::RemarkKind;

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

/// As a message says it: "an endpoint".
impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "an endpoint",
            Self::SubHierarchy => "a bridge",
            Self::IoApic => "an I/O APIC",
            Self::Hpet => "an HPET",
            Self::Namespace => "an ACPI device",
            Self::Unknown(raw) => return write!(f, "unknown type {raw:#x}"),
        })
    }
}

/// An element of a path, as firmware has written it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathElement {
    /// Device number, 31 at most in PCI.
    pub device: u8,
    /// Function number, 7 at most in PCI.
    pub function: u8,
}

impl PathElement {
    /// The two numbers in one; `None` when there can be no such function.
    pub const fn devfn(self) -> Option<u8> {
        if self.device > 0x1f || self.function > 7 {
            return None;
        }
        Some((self.device << 3) | self.function)
    }
}

/// A device scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceScope<'a> {
    /// Offset of the scope in the table.
    pub offset: usize,
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
    /// The functions on the way from the start bus to the device: bridges, then the device. A byte
    /// that is left over is no element.
    pub fn path(self) -> impl Iterator<Item = PathElement> + use<'a> {
        self.path
            .chunks_exact(ELEMENT)
            .filter_map(|pair| match *pair {
                [device, function] => Some(PathElement { device, function }),
                _ => None,
            })
    }

    /// The function that the path leads to, where `first_bus_below` tells the bus below a bridge;
    /// `None` without a path, and when a function on the way is not possible, no bridge, or not
    /// there.
    pub fn resolve(self, mut first_bus_below: impl FnMut(Bdf) -> Option<u8>) -> Option<Bdf> {
        let mut found = None;
        for element in self.path() {
            let bus = match found {
                None => self.start_bus,
                Some(bridge) => first_bus_below(bridge)?,
            };
            found = Some(Bdf::new(bus, element.devfn()?));
        }
        found
    }

    /// The requester id of a device of the ACPI namespace, which the path has in place of a way to
    /// it; `None` for other kinds, without a path, and when it is not possible.
    pub fn requester_id(self) -> Option<Bdf> {
        if self.kind != ScopeKind::Namespace {
            return None;
        }
        Some(Bdf::new(self.start_bus, self.path().next()?.devfn()?))
    }

    /// What is wrong with it, and does not matter to other scopes.
    pub(super) fn remark(self) -> Option<RemarkKind<'a>> {
        let kind = self.kind;
        if let ScopeKind::Unknown(_) = kind {
            // What such a scope holds is not known.
            return Some(RemarkKind::ScopeUnknown { kind });
        }
        if self.path.is_empty() {
            return Some(RemarkKind::ScopeWithoutPath { kind });
        }
        if let Some(element) = self.path().find(|element| element.devfn().is_none()) {
            return Some(RemarkKind::ScopePathElement { kind, element });
        }
        (self.path.len() % ELEMENT != 0).then_some(RemarkKind::ScopePathOdd { kind })
    }

    /// Splits the first device scope off `bytes`, which lie at `offset` in the table.
    ///
    /// The scope has to have its fixed fields, and to lie in `bytes`: where the next one begins is
    /// not known otherwise.
    fn split_first(bytes: &'a [u8], offset: usize) -> Result<(Self, &'a [u8]), Error> {
        let error = |kind| Error { offset, kind };
        let left = bytes.len();
        let Some(&[kind, length, _flags, _, enumeration_id, start_bus]) = bytes.first_chunk()
        else {
            return Err(error(ErrorKind::ScopeTooShort { length: 0 }));
        };
        if usize::from(length) < HEADER {
            return Err(error(ErrorKind::ScopeTooShort { length }));
        }
        let Some((this, rest)) = bytes.split_at_checked(usize::from(length)) else {
            return Err(error(ErrorKind::ScopeTruncated { length, left }));
        };
        let scope = Self {
            offset,
            kind: ScopeKind::from_raw(kind),
            enumeration_id,
            start_bus,
            path: this.get(HEADER..).unwrap_or(&[]),
        };
        Ok((scope, rest))
    }
}

/// The device scopes of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scopes<'a> {
    bytes: &'a [u8],
    /// Offset of the first one in the table.
    offset: usize,
}

impl<'a> Scopes<'a> {
    /// No scopes.
    pub(super) const EMPTY: Self = Self {
        bytes: &[],
        offset: 0,
    };

    /// Checks the device scopes in `bytes`, which lie at `offset` in the table.
    pub(super) fn parse(bytes: &'a [u8], offset: usize) -> Result<Self, Error> {
        let mut left = ScopeIter { bytes, offset };
        while !left.bytes.is_empty() {
            // A scope is never empty, so this ends.
            left.advance()?;
        }
        Ok(Self { bytes, offset })
    }

    /// The bytes of the table that hold them.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> IntoIterator for Scopes<'a> {
    type Item = DeviceScope<'a>;
    type IntoIter = ScopeIter<'a>;

    fn into_iter(self) -> ScopeIter<'a> {
        let Self { bytes, offset } = self;
        ScopeIter { bytes, offset }
    }
}

/// Iterator over device scopes, in the order of the table.
#[derive(Clone, Debug)]
pub struct ScopeIter<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> ScopeIter<'a> {
    fn advance(&mut self) -> Result<DeviceScope<'a>, Error> {
        let (scope, rest) = DeviceScope::split_first(self.bytes, self.offset)?;
        self.offset = self.offset.saturating_add(self.bytes.len() - rest.len());
        self.bytes = rest;
        Ok(scope)
    }
}

impl<'a> Iterator for ScopeIter<'a> {
    type Item = DeviceScope<'a>;

    fn next(&mut self) -> Option<DeviceScope<'a>> {
        // Checked in `Scopes::parse`: the only error left is that there is nothing more.
        self.advance().ok()
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
        let devfns: Vec<_> = scope.path().map(PathElement::devfn).collect();
        assert_eq!(devfns, [Some(0xe0), Some(0x00), Some(0x13)]);
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
        assert!(kind(&[]).is_ok());
        for (bytes, error) in [
            (&[1, 8, 0, 0, 0][..], ErrorKind::ScopeTooShort { length: 0 }),
            (
                &[1, 0, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopeTooShort { length: 0 },
            ),
            (
                &[1, 5, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopeTooShort { length: 5 },
            ),
            (
                &[1, 10, 0, 0, 0, 0, 0, 0],
                ErrorKind::ScopeTruncated {
                    length: 10,
                    left: 8,
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

    #[test]
    fn remarks() {
        use RemarkKind::{ScopePathElement, ScopePathOdd, ScopeUnknown, ScopeWithoutPath};

        let element = |device, function| PathElement { device, function };
        let (endpoint, apic) = (ScopeKind::Endpoint, ScopeKind::IoApic);
        for (bytes, remark, leads) in [
            (&[1, 8, 0, 0, 0, 0, 0x1f, 7][..], None, true),
            (
                &[1, 6, 0, 0, 0, 0],
                Some(ScopeWithoutPath { kind: endpoint }),
                false,
            ),
            (
                &[1, 7, 0, 0, 0, 0, 3],
                Some(ScopePathOdd { kind: endpoint }),
                false,
            ),
            (
                &[1, 9, 0, 0, 0, 0, 3, 0, 0],
                Some(ScopePathOdd { kind: endpoint }),
                true,
            ),
            (
                &[1, 8, 0, 0, 0, 0, 0x20, 0],
                Some(ScopePathElement {
                    kind: endpoint,
                    element: element(0x20, 0),
                }),
                false,
            ),
            (
                &[3, 10, 0, 0, 0, 0, 1, 0, 0x1f, 8],
                Some(ScopePathElement {
                    kind: apic,
                    element: element(0x1f, 8),
                }),
                false,
            ),
            (
                &[9, 8, 0, 0, 0, 0, 0xff, 0xff],
                Some(ScopeUnknown {
                    kind: ScopeKind::Unknown(9),
                }),
                false,
            ),
        ] {
            let scopes = Scopes::parse(bytes, 0x40).unwrap();
            let scope = scopes.into_iter().next().unwrap();
            assert_eq!(scope.remark(), remark, "{bytes:x?}");
            assert_eq!(scope.resolve(|_| Some(1)).is_some(), leads, "{bytes:x?}");
            assert_eq!(scope.offset, 0x40);
        }
    }

    #[test]
    fn requester_ids() {
        let id = |bytes| {
            let scope = Scopes::parse(bytes, 0).unwrap().into_iter().next().unwrap();
            scope.requester_id()
        };
        assert_eq!(
            id(&[5, 8, 0, 0, 1, 0xf0, 0x1f, 7]),
            Some(Bdf::new(0xf0, 0xff))
        );
        assert_eq!(id(&[5, 6, 0, 0, 1, 0]), None);
        assert_eq!(id(&[5, 8, 0, 0, 1, 0, 0x20, 0]), None);
        assert_eq!(id(&[1, 8, 0, 0, 1, 0, 1, 0]), None);
    }
}
