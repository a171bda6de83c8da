// SPDX-License-Identifier: GPL-2.0

//! Tables in bytes, written from the specification's field lists and not from the parser.

/// A device scope: type, enumeration id, start bus, path of (device, function).
pub fn scope(kind: u8, id: u8, bus: u8, path: &[(u8, u8)]) -> Vec<u8> {
    let length = 6 + 2 * path.len() as u8;
    let mut bytes = vec![kind, length, 0, 0, id, bus];
    bytes.extend(
        path.iter()
            .flat_map(|&(device, function)| [device, function]),
    );
    bytes
}

pub fn endpoint(bus: u8, path: &[(u8, u8)]) -> Vec<u8> {
    scope(1, 0, bus, path)
}

pub fn bridge(bus: u8, path: &[(u8, u8)]) -> Vec<u8> {
    scope(2, 0, bus, path)
}

/// A structure of any kind: type, then length, then `fields`, then `scopes`.
pub fn structure(kind: u16, fields: &[u8], scopes: &[Vec<u8>]) -> Vec<u8> {
    let scopes = scopes.concat();
    let length = (4 + fields.len() + scopes.len()) as u16;
    [&kind.to_le_bytes(), &length.to_le_bytes(), fields, &scopes].concat()
}

pub fn drhd(flags: u8, segment: u16, base: u64, scopes: &[Vec<u8>]) -> Vec<u8> {
    let mut fields = vec![flags, 0];
    fields.extend(segment.to_le_bytes());
    fields.extend(base.to_le_bytes());
    structure(0, &fields, scopes)
}

pub fn rmrr(segment: u16, base: u64, limit: u64, scopes: &[Vec<u8>]) -> Vec<u8> {
    let mut fields = vec![0, 0];
    fields.extend(segment.to_le_bytes());
    fields.extend(base.to_le_bytes());
    fields.extend(limit.to_le_bytes());
    structure(1, &fields, scopes)
}

/// ATSR (2), SATC (5) or SIDP (6).
pub fn flagged(kind: u16, flags: u8, segment: u16, scopes: &[Vec<u8>]) -> Vec<u8> {
    let [s0, s1] = segment.to_le_bytes();
    structure(kind, &[flags, 0, s0, s1], scopes)
}

pub fn rhsa(base: u64, domain: u32) -> Vec<u8> {
    let mut fields = vec![0; 4];
    fields.extend(base.to_le_bytes());
    fields.extend(domain.to_le_bytes());
    structure(3, &fields, &[])
}

pub fn andd(number: u8, name: &[u8]) -> Vec<u8> {
    structure(4, &[&[0, 0, 0, number], name].concat(), &[])
}

/// The table: 46 bits of physical address, interrupt remapping, a valid checksum.
pub fn table(structures: &[Vec<u8>]) -> Vec<u8> {
    let structures = structures.concat();
    let mut bytes = b"DMAR".to_vec();
    bytes.extend((48 + structures.len() as u32).to_le_bytes());
    bytes.extend([1, 0]);
    bytes.extend(b"OEMID0OEMTABLE");
    bytes.resize(36, 0);
    bytes.extend([45, 1]);
    bytes.resize(48, 0);
    bytes.extend(structures);
    bytes[9] = bytes.iter().fold(0u8, |sum, b| sum.wrapping_sub(*b));
    bytes
}
