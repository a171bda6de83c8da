// SPDX-License-Identifier: GPL-2.0

//! Little-endian fields of byte arrays, without an index that could panic.

/// The 32-bit field at `OFFSET`. Only for constants: a field outside stops the build.
pub(crate) const fn get_u32<const OFFSET: usize, const N: usize>(bytes: &[u8; N]) -> u32 {
    const { assert!(OFFSET + 4 <= N) };
    match bytes.split_at(OFFSET).1.first_chunk() {
        Some(field) => u32::from_le_bytes(*field),
        None => 0,
    }
}

/// The 64-bit field at `OFFSET`. Only for constants: a field outside stops the build.
pub(crate) const fn get_u64<const OFFSET: usize, const N: usize>(bytes: &[u8; N]) -> u64 {
    const { assert!(OFFSET + 8 <= N) };
    match bytes.split_at(OFFSET).1.first_chunk() {
        Some(field) => u64::from_le_bytes(*field),
        None => 0,
    }
}

/// Stores a 32-bit field at `OFFSET`. Only for constants: a field outside stops the build.
pub(crate) fn put_u32<const OFFSET: usize, const N: usize>(bytes: &mut [u8; N], value: u32) {
    const { assert!(OFFSET + 4 <= N) };
    if let Some(field) = bytes.split_at_mut(OFFSET).1.first_chunk_mut() {
        *field = value.to_le_bytes();
    }
}

/// Stores a 64-bit field at `OFFSET`. Only for constants: a field outside stops the build.
pub(crate) fn put_u64<const OFFSET: usize, const N: usize>(bytes: &mut [u8; N], value: u64) {
    const { assert!(OFFSET + 8 <= N) };
    if let Some(field) = bytes.split_at_mut(OFFSET).1.first_chunk_mut() {
        *field = value.to_le_bytes();
    }
}
