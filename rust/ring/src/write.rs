// SPDX-License-Identifier: GPL-2.0

//! One write of a guest.

use core::mem::size_of;

/// The address space of a write or a zone: `pio` of `struct kvm_coalesced_mmio_zone`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Space {
    /// Guest physical memory.
    Mmio = 0,
    /// I/O ports.
    Pio = 1,
}

impl Space {
    /// `None` for what the ABI does not define.
    #[inline]
    pub const fn from_raw(pio: u32) -> Option<Self> {
        match pio {
            0 => Some(Self::Mmio),
            1 => Some(Self::Pio),
            _ => None,
        }
    }

    /// As in the ABI.
    #[inline]
    pub const fn raw(self) -> u32 {
        self as u32
    }
}

/// What is written: up to 8 bytes, in the order they have in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Data {
    /// The bytes as a native-endian word; those after `len` are 0.
    word: u64,
    /// At most [`Data::MAX`].
    len: u8,
}

impl Data {
    /// Bytes that fit into an entry.
    pub const MAX: usize = 8;

    /// `None` if `bytes` are more than [`Data::MAX`].
    #[inline]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        // Nearly all writes have one of these sizes; others are a call that copies.
        if let Ok(one) = <[u8; 1]>::try_from(bytes) {
            Some(one.into())
        } else if let Ok(two) = <[u8; 2]>::try_from(bytes) {
            Some(two.into())
        } else if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            Some(four.into())
        } else if let Ok(eight) = <[u8; 8]>::try_from(bytes) {
            Some(eight.into())
        } else {
            let mut padded = [0; Self::MAX];
            padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(Self {
                word: u64::from_ne_bytes(padded),
                len: bytes.len() as u8,
            })
        }
    }

    /// The first `len` bytes of an entry's word; `None` if it has not as many. After them the C
    /// code leaves what an earlier entry had there.
    #[inline]
    pub(crate) fn of_entry(word: u64, len: u32) -> Option<Self> {
        if len as usize > Self::MAX {
            return None;
        }
        let spare = u64::BITS.wrapping_sub(len.wrapping_mul(u8::BITS));
        // In memory the first byte of the word is the lowest one of a little-endian number.
        let kept = u64::MAX.checked_shr(spare).unwrap_or(0);
        Some(Self {
            word: u64::from_le(word.to_le() & kept),
            len: len as u8,
        })
    }

    pub(crate) const fn word(self) -> u64 {
        self.word
    }

    /// Bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// All eight bytes of the entry; those after [`Data::len`] are 0.
    #[inline]
    pub const fn bytes(self) -> [u8; Self::MAX] {
        self.word.to_ne_bytes()
    }
}

macro_rules! from_word {
    ($($word:ty),*) => {$(
        impl From<[u8; size_of::<$word>()]> for Data {
            #[inline]
            fn from(bytes: [u8; size_of::<$word>()]) -> Self {
                Self {
                    word: u64::from_le(<$word>::from_le_bytes(bytes).into()),
                    len: size_of::<$word>() as u8,
                }
            }
        }
    )*};
}

from_word!(u8, u16, u32, u64);

/// A write of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Write {
    /// The address space of `addr`.
    pub space: Space,
    /// Guest physical address, or port.
    pub addr: u64,
    /// What is written.
    pub data: Data,
}
