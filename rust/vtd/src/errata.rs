// SPDX-License-Identifier: GPL-2.0

//! Functions that need something else than the specification says. Published by Intel as errata;
//! the kernel's own driver has the same lists.

const INTEL: u16 = 0x8086;

/// Whether an invalidation of the function's TLB counts only when it is sent twice, the second
/// after the first is complete (QuickAssist 4940h to 4943h; Linux: `dev_needs_extra_dtlb_flush()`).
pub const fn takes_two_invalidations(vendor: u16, device: u16) -> bool {
    vendor == INTEL && device & 0xfffc == 0x4940
}

/// Whether the unit of such graphics, if it has nothing else and drains requests, does not come
/// back from disabling translation (Linux: `quirk_igfx_skip_te_disable()`).
pub const fn hangs_untranslated(vendor: u16, device: u16, base_class: u8) -> bool {
    const DISPLAY: u8 = 3;
    vendor == INTEL
        && base_class == DISPLAY
        && matches!(
            device >> 8,
            0x45 | 0x46 | 0x4c | 0x4e | 0x7d | 0x8a | 0x98 | 0x9a | 0xa7
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_assist_of_four_ids() {
        let mut found = std::vec::Vec::new();
        for device in 0..=u16::MAX {
            assert!(!takes_two_invalidations(0x1234, device));
            if takes_two_invalidations(INTEL, device) {
                found.push(device);
            }
        }
        assert_eq!(found, [0x4940, 0x4941, 0x4942, 0x4943]);
    }

    #[test]
    fn graphics_of_nine_generations() {
        let hangs = |device: u16| hangs_untranslated(INTEL, device, 3);
        assert_eq!((0..=u16::MAX).filter(|d| hangs(*d)).count(), 9 * 256);
        assert!(hangs(0x9a49) && hangs(0x46a6) && !hangs(0x1916));
        assert!(!hangs_untranslated(INTEL, 0x9a49, 4));
        assert!(!hangs_untranslated(0x10de, 0x9a49, 3));
    }
}
