// SPDX-License-Identifier: GPL-2.0

//! Bit fields of 64-bit words, named as the specification names them: by high and low bit.

/// A run of bits in a 64-bit word.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    low: u32,
    mask: u64,
}

impl Field {
    /// Bits `high` to `low`, both inclusive. Only for constants: a wrong pair stops the build.
    pub(crate) const fn new(high: u32, low: u32) -> Self {
        assert!(high < u64::BITS && low <= high);
        Self {
            low,
            mask: (u64::MAX >> (u64::BITS - 1 - (high - low))) << low,
        }
    }

    /// The single bit `bit`. Only for constants.
    pub(crate) const fn bit(bit: u32) -> Self {
        Self::new(bit, bit)
    }

    /// Whether any bit of the field is set in `word`.
    #[inline]
    pub(crate) const fn is_set(self, word: u64) -> bool {
        word & self.mask != 0
    }

    /// The field's value in `word`.
    #[inline]
    pub(crate) const fn get(self, word: u64) -> u64 {
        (word & self.mask) >> self.low
    }

    /// `value` moved into place; bits that do not fit are dropped.
    #[inline]
    pub(crate) const fn put(self, value: u64) -> u64 {
        (value << self.low) & self.mask
    }

    /// `word` with this field replaced by `value`.
    #[inline]
    pub(crate) const fn set(self, word: u64, value: u64) -> u64 {
        (word & !self.mask) | self.put(value)
    }

    /// The field in place, as an address is kept: the low bits of `word` are cleared.
    #[inline]
    pub(crate) const fn keep(self, word: u64) -> u64 {
        word & self.mask
    }
}

/// Bits 63:12: the address of a 4 KiB page or table.
pub(crate) const PAGE_ADDRESS: Field = Field::new(63, 12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_their_bits_say() {
        let pdts = Field::new(11, 9);
        assert_eq!(pdts.put(7), 0xe00);
        assert_eq!(pdts.put(8), 0);
        assert_eq!(pdts.get(0xffff_ffff_ffff_f5ff), 2);
        assert_eq!(pdts.set(0xfff, 1), 0x3ff);
        assert_eq!(Field::new(63, 0).put(u64::MAX), u64::MAX);
        assert_eq!(PAGE_ADDRESS.keep(0x1234_5678), 0x1234_5000);
        assert!(Field::bit(63).is_set(1 << 63) && !Field::bit(62).is_set(1 << 63));
    }
}
