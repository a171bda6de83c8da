// SPDX-License-Identifier: GPL-2.0

//! How many address bits a translation covers, and hence how many levels its tables have.

/// Width of a second-stage input address: SAGAW in the capability register and AW in a PASID table
/// entry (VT-d spec, 9.6 and 11.4.2). The discriminant is the AW encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum AddressWidth {
    /// 39 bits, 3 levels.
    Bits39 = 1,
    /// 48 bits, 4 levels.
    Bits48 = 2,
    /// 57 bits, 5 levels.
    Bits57 = 3,
}

impl AddressWidth {
    /// All widths, narrowest first.
    pub const ALL: [Self; 3] = [Self::Bits39, Self::Bits48, Self::Bits57];

    /// The AW encoding, which is also the bit number in SAGAW.
    #[inline]
    pub const fn encoding(self) -> u8 {
        self as u8
    }

    /// The width with this AW encoding; `None` for a reserved one.
    #[inline]
    pub const fn from_encoding(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Bits39),
            2 => Some(Self::Bits48),
            3 => Some(Self::Bits57),
            _ => None,
        }
    }

    /// Number of address bits.
    #[inline]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Bits39 => 39,
            Self::Bits48 => 48,
            Self::Bits57 => 57,
        }
    }

    /// Number of page-table levels.
    #[inline]
    pub const fn levels(self) -> u8 {
        match self {
            Self::Bits39 => 3,
            Self::Bits48 => 4,
            Self::Bits57 => 5,
        }
    }
}

/// Depth of first-stage tables: FSPM in a PASID table entry (VT-d spec, 9.6). They have the format
/// of the processor's own 4-level and 5-level tables. The discriminant is the FSPM encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum FirstStageMode {
    /// 4 levels, 48 bits.
    FourLevel = 0,
    /// 5 levels, 57 bits.
    FiveLevel = 1,
}

impl FirstStageMode {
    /// The mode with this FSPM encoding; `None` for a reserved one.
    #[inline]
    pub const fn from_encoding(raw: u8) -> Option<Self> {
        match raw {
            0 => Some(Self::FourLevel),
            1 => Some(Self::FiveLevel),
            _ => None,
        }
    }

    /// Number of page-table levels.
    #[inline]
    pub const fn levels(self) -> u8 {
        match self {
            Self::FourLevel => 4,
            Self::FiveLevel => 5,
        }
    }

    /// Number of address bits. Addresses are canonical: the top bit is repeated above.
    #[inline]
    pub const fn bits(self) -> u8 {
        match self {
            Self::FourLevel => 48,
            Self::FiveLevel => 57,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_round_trip() {
        for w in AddressWidth::ALL {
            assert_eq!(AddressWidth::from_encoding(w.encoding()), Some(w));
            assert_eq!(u32::from(w.bits()), 12 + 9 * u32::from(w.levels()));
        }
        for raw in [0, 4, 5, 6, 7] {
            assert_eq!(AddressWidth::from_encoding(raw), None);
        }
        for m in [FirstStageMode::FourLevel, FirstStageMode::FiveLevel] {
            assert_eq!(FirstStageMode::from_encoding(m as u8), Some(m));
            assert_eq!(u32::from(m.bits()), 12 + 9 * u32::from(m.levels()));
        }
        assert_eq!(FirstStageMode::from_encoding(2), None);
    }
}
