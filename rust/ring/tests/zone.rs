// SPDX-License-Identifier: GPL-2.0

//! Zones, against the arithmetic of the C code.

mod common;

use proptest::prelude::*;
use siov_ring::{Space, Zone};

/// `coalesced_mmio_in_range()` of the kernel's `virt/kvm/coalesced_mmio.c`, in C's arithmetic.
fn in_range(start: u64, size: u32, addr: u64, len: i32) -> bool {
    if len < 0 {
        return false;
    }
    let end = addr.wrapping_add(len as u64);
    if end < addr || addr < start {
        return false;
    }
    end <= start.wrapping_add(u64::from(size))
}

fn zone(start: u64, size: u32) -> Zone {
    Zone::new(Space::Mmio, start, size)
}

#[test]
fn first_and_last_byte_belong_to_a_zone() {
    let zone = zone(0x1000, 8);
    for (addr, len, inside) in [
        (0x0fff, 1, false),
        (0x1000, 1, true),
        (0x1007, 1, true),
        (0x1008, 1, false),
        (0x1000, 8, true),
        (0x0fff, 2, false),
        (0x1004, 4, true),
        (0x1005, 4, false),
        (0x1000, 9, false),
        (0x0fff, 10, false),
        (0x1008, 0, true),
        (0x1009, 0, false),
    ] {
        assert_eq!(zone.contains(addr, len), inside, "{len} at {addr:#x}");
    }
}

#[test]
fn nothing_crosses_the_end_of_the_address_space() {
    let whole = zone(u64::MAX - 15, 15);
    assert!(whole.contains(u64::MAX - 1, 1));
    assert!(!whole.contains(u64::MAX - 1, 2));
    for (start, size) in [(u64::MAX - 7, 8), (u64::MAX - 7, 16), (u64::MAX, u32::MAX)] {
        let zone = zone(start, size);
        for addr in [start, u64::MAX, 0, 4] {
            for len in [0, 1, 4, 8] {
                assert!(!zone.contains(addr, len), "{len} at {addr:#x}");
            }
        }
    }
}

#[test]
fn a_request_of_two_gib_removes_no_zone() {
    let all = zone(0, u32::MAX);
    assert!(all.is_removed_by(&zone(0, 0x7fff_ffff)));
    assert!(!all.is_removed_by(&zone(0, 0x8000_0000)));
    assert!(!all.is_removed_by(&zone(0, u32::MAX)));
}

/// Addresses near each other and near the ends.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..64,
        0x1000u64..0x1040,
        Just(u64::MAX - 40).prop_flat_map(|base| (0u64..=40).prop_map(move |n| base + n)),
        any::<u64>(),
    ]
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..70, 0x7fff_fff0u32..0x8000_0010, any::<u32>()]
}

proptest! {
    #![proptest_config(common::cases(20_000))]

    #[test]
    fn as_in_c(start in address(), size in size(), addr in address(), len in 0i32..100) {
        let zone = zone(start, size);
        prop_assert_eq!(zone.contains(addr, len as u64), in_range(start, size, addr, len));
    }

    #[test]
    fn requests_as_in_c(start in address(), size in size(), addr in address(), asked in size()) {
        let zone = zone(start, size);
        let range = Zone::new(Space::Mmio, addr, asked);
        prop_assert_eq!(zone.is_removed_by(&range), in_range(start, size, addr, asked as i32));
        let ports = Zone::new(Space::Pio, addr, asked);
        prop_assert!(!zone.is_removed_by(&ports));
    }
}
