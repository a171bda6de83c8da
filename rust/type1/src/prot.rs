// SPDX-License-Identifier: GPL-2.0

//! What devices may do with memory.

/// Any of reading and writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Prot(u8);

impl Prot {
    /// Devices may read (`IOMMU_READ` of `include/linux/iommu.h`).
    pub const READ: Self = Self(1 << 0);

    /// Devices may write (`IOMMU_WRITE`).
    pub const WRITE: Self = Self(1 << 1);

    /// Devices may read, write, both or neither.
    pub const fn new(read: bool, write: bool) -> Self {
        let read = if read { Self::READ.0 } else { 0 };
        let write = if write { Self::WRITE.0 } else { 0 };
        Self(read | write)
    }

    /// From `IOMMU_READ` and `IOMMU_WRITE`; other bits are dropped.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw as u8 & (Self::READ.0 | Self::WRITE.0))
    }

    /// `IOMMU_READ` and `IOMMU_WRITE`.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0 as u32
    }

    /// Whether it permits all that `other` permits.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions() {
        let both = Prot::new(true, true);
        assert_eq!(both, Prot::from_raw(0xffff_ffff));
        assert_eq!(Prot::from_raw(4).raw(), 0);
        assert!(both.contains(Prot::READ) && both.contains(Prot::WRITE));
        assert!(Prot::new(true, false).contains(Prot::READ));
        assert!(!Prot::new(true, false).contains(both));
        assert!(Prot::new(false, false).contains(Prot::new(false, false)));
    }
}
