// SPDX-License-Identifier: GPL-2.0

//! Where `VTDAddressSpace` (include/hw/i386/intel_iommu.h) keeps its `AddressSpace`.
//!
//! It starts with bus, devfn and PASID. The address space of requests without PASID is known, so
//! its distance from the structure around it is that of every other.

use super::Refusal;
use crate::ffi::NO_PASID;

/// What a `VTDAddressSpace` starts with.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) bus: usize,
    pub(crate) devfn: u8,
    pub(crate) pasid: u32,
}

/// Offset in bytes of the `AddressSpace`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TranslationSpace(usize);

impl TranslationSpace {
    /// The address space may lie behind the header, not far off.
    const LIMIT: usize = 256;

    /// Compares what QEMU gave with what was asked for: `found` is the header at address `outer`
    /// for `asked`, and `inner` the address space of the same requests.
    pub(crate) fn derive(
        asked: Header,
        found: Header,
        outer: usize,
        inner: usize,
    ) -> Result<Self, Refusal> {
        check(asked, found)?;
        match inner.checked_sub(outer) {
            Some(offset)
                if (size_of::<Header>()..Self::LIMIT).contains(&offset) && offset % 8 == 0 =>
            {
                Ok(Self(offset))
            }
            _ => Err(Refusal::new(format!(
                "VTDAddressSpace: the address space at {inner:#x} does not lie in {outer:#x}"
            ))),
        }
    }

    /// The address space in a `VTDAddressSpace` at `outer`, whose header is `found`.
    pub(crate) fn inside(
        self,
        asked: Header,
        found: Header,
        outer: usize,
    ) -> Result<usize, Refusal> {
        check(asked, found)?;
        Ok(outer.wrapping_add(self.0))
    }
}

fn check(asked: Header, found: Header) -> Result<(), Refusal> {
    // QEMU files requests without PASID under PASID 0, which Linux uses for them (RID_PASID), since
    // it follows the guest in that; before, under a number of its own.
    let rid_pasid = Header { pasid: 0, ..asked };
    if asked == found || (asked.pasid == NO_PASID && rid_pasid == found) {
        Ok(())
    } else {
        Err(Refusal::new(format!(
            "VTDAddressSpace: it starts with {found:x?} in place of {asked:x?}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Header = Header {
        bus: 0x7f00_1000,
        devfn: 0x18,
        pasid: NO_PASID,
    };

    #[test]
    fn the_offset_is_that_of_requests_without_pasid() {
        let space = TranslationSpace::derive(ASKED, ASKED, 0x1000, 0x1010).unwrap();
        let rid_pasid = Header { pasid: 0, ..ASKED };
        assert_eq!(
            TranslationSpace::derive(ASKED, rid_pasid, 0x1000, 0x1010),
            Ok(space)
        );
        let asked = Header { pasid: 5, ..ASKED };
        assert_eq!(space.inside(asked, asked, 0x8000), Ok(0x8010));
        let refusal = space.inside(asked, ASKED, 0x8000).unwrap_err();
        assert!(refusal
            .to_string()
            .starts_with("VTDAddressSpace: it starts with"));
    }

    #[test]
    fn every_doubt_is_a_refusal() {
        for found in [
            Header { bus: 0, ..ASKED },
            Header { devfn: 0, ..ASKED },
            Header { pasid: 1, ..ASKED },
        ] {
            assert!(TranslationSpace::derive(ASKED, found, 0x1000, 0x1010).is_err());
        }
        // Before it, in the header, unaligned, far behind.
        for inner in [0xff8, 0x1000, 0x1008, 0x1014, 0x1100] {
            assert!(
                TranslationSpace::derive(ASKED, ASKED, 0x1000, inner).is_err(),
                "{inner:#x}"
            );
        }
    }
}
