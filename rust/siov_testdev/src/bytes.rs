// SPDX-License-Identifier: GPL-2.0

//! Little-endian fields of byte arrays, without an index that could panic.

/// The 32-bit field at `OFFSET`. One that lies outside its array stops the build.
pub(crate) struct U32At<const OFFSET: usize>;

/// The 64-bit field at `OFFSET`. One that lies outside its array stops the build.
pub(crate) struct U64At<const OFFSET: usize>;

macro_rules! field {
    ($field:ident, $type:ty) => {
        impl<const OFFSET: usize> $field<OFFSET> {
            pub(crate) const fn get<const N: usize>(bytes: &[u8; N]) -> $type {
                const { assert!(OFFSET + size_of::<$type>() <= N) };
                match bytes.split_at(OFFSET).1.first_chunk() {
                    Some(field) => <$type>::from_le_bytes(*field),
                    None => 0,
                }
            }

            pub(crate) fn put<const N: usize>(bytes: &mut [u8; N], value: $type) {
                const { assert!(OFFSET + size_of::<$type>() <= N) };
                if let Some(field) = bytes.split_at_mut(OFFSET).1.first_chunk_mut() {
                    *field = value.to_le_bytes();
                }
            }
        }
    };
}

field!(U32At, u32);
field!(U64At, u64);
