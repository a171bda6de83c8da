// SPDX-License-Identifier: GPL-2.0

//! Which addresses may be mapped: a sorted list of windows, which every group of a container
//! narrows to the aperture of its domain, less the ranges that are reserved on its devices.
//!
//! An empty list means that nothing limits the addresses: there has been no domain yet.

use siov_types::{Iova, IovaRange};

/// Where a new list is put together.
pub trait Sink {
    /// Why there is no room for one more.
    type Error;

    /// Adds a window above all that were added before.
    ///
    /// # Errors
    ///
    /// Where memory has run out.
    fn push(&mut self, window: IovaRange) -> Result<(), Self::Error>;
}

/// What two ranges have in common.
pub fn intersection(a: IovaRange, b: IovaRange) -> Option<IovaRange> {
    IovaRange::new(a.first().max(b.first()), a.last().min(b.last()))
}

/// Whether all of `range` may be mapped.
pub fn allows(windows: &[IovaRange], range: IovaRange) -> bool {
    let within = |w: &IovaRange| w.first() <= range.first() && range.last() <= w.last();
    windows.is_empty() || windows.iter().any(within)
}

fn below(address: Iova) -> Option<Iova> {
    address.raw().checked_sub(1).map(Iova::new)
}

fn above(address: Iova) -> Option<Iova> {
    address.checked_add(1)
}

/// Whether a domain with this aperture cannot join: it shares no address with the windows, or
/// something is mapped between their hull and the aperture. `mapped` says whether anything is
/// mapped in a range.
pub fn conflicts(
    windows: &[IovaRange],
    aperture: IovaRange,
    mapped: impl Fn(IovaRange) -> bool,
) -> bool {
    let (Some(lowest), Some(highest)) = (windows.first(), windows.last()) else {
        return false;
    };
    if aperture.first() > highest.last() || aperture.last() < lowest.first() {
        return true;
    }
    let under = below(aperture.first()).and_then(|last| IovaRange::new(lowest.first(), last));
    let over = above(aperture.last()).and_then(|first| IovaRange::new(first, highest.last()));
    under.is_some_and(&mapped) || over.is_some_and(&mapped)
}

/// The windows that are left within `aperture`; the aperture itself where there was none.
///
/// # Errors
///
/// Those of the sink.
pub fn narrow<S: Sink>(
    windows: &[IovaRange],
    aperture: IovaRange,
    out: &mut S,
) -> Result<(), S::Error> {
    if windows.is_empty() {
        return out.push(aperture);
    }
    for window in windows {
        if let Some(part) = intersection(*window, aperture) {
            out.push(part)?;
        }
    }
    Ok(())
}

/// The windows without `reserved`.
///
/// # Errors
///
/// Those of the sink.
pub fn exclude<S: Sink>(
    windows: &[IovaRange],
    reserved: IovaRange,
    out: &mut S,
) -> Result<(), S::Error> {
    for window in windows {
        if intersection(*window, reserved).is_none() {
            out.push(*window)?;
            continue;
        }
        let left = below(reserved.first()).and_then(|last| IovaRange::new(window.first(), last));
        let right = above(reserved.last()).and_then(|first| IovaRange::new(first, window.last()));
        for part in [left, right].into_iter().flatten() {
            out.push(part)?;
        }
    }
    Ok(())
}

/// The hull of the windows, moved to `aperture` where a domain was removed and the remaining ones
/// have that in common: what reserved ranges are taken out of when a group leaves. `None` without
/// windows.
pub fn hull(windows: &[IovaRange], aperture: Option<IovaRange>) -> Option<IovaRange> {
    let (lowest, highest) = (windows.first()?, windows.last()?);
    match aperture {
        Some(aperture) => Some(aperture),
        None => IovaRange::new(lowest.first(), highest.last()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::proptest_config::cases;
    use core::convert::Infallible;
    use proptest::prelude::*;
    use std::vec::Vec;

    impl Sink for Vec<IovaRange> {
        type Error = Infallible;
        fn push(&mut self, window: IovaRange) -> Result<(), Infallible> {
            Vec::push(self, window);
            Ok(())
        }
    }

    fn range(first: u64, last: u64) -> IovaRange {
        IovaRange::new(Iova::new(first), Iova::new(last)).unwrap()
    }

    fn collect(f: impl FnOnce(&mut Vec<IovaRange>) -> Result<(), Infallible>) -> Vec<IovaRange> {
        let mut out = Vec::new();
        f(&mut out).unwrap();
        out
    }

    /// A small address space, so that an address can be a bit.
    fn set_of(windows: &[IovaRange]) -> Vec<bool> {
        let inside = |a: u64| {
            windows
                .iter()
                .any(|w| w.first().raw() <= a && a <= w.last().raw())
        };
        (0..64).map(inside).collect()
    }

    fn sorted_and_disjoint(windows: &[IovaRange]) -> bool {
        windows
            .windows(2)
            .all(|pair| pair[0].last() < pair[1].first())
    }

    fn some_range() -> impl Strategy<Value = IovaRange> {
        (0u64..64, 0u64..64).prop_map(|(a, b)| range(a.min(b), a.max(b)))
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn excluding_and_narrowing_are_set_operations(
            aperture in some_range(),
            steps in prop::collection::vec((any::<bool>(), some_range()), 0..8),
        ) {
            let mut windows = collect(|out| narrow(&[], aperture, out));
            let mut model = set_of(&[aperture]);
            for (excluding, r) in steps {
                if windows.is_empty() {
                    break;
                }
                let other = set_of(&[r]);
                windows = collect(|out| if excluding {
                    exclude(&windows, r, out)
                } else {
                    narrow(&windows, r, out)
                });
                for (bit, other) in model.iter_mut().zip(other) {
                    *bit &= other != excluding;
                }
                prop_assert_eq!(&set_of(&windows), &model);
                prop_assert!(sorted_and_disjoint(&windows));
            }
        }

        #[test]
        fn a_conflict_is_a_mapping_outside(
            windows in prop::collection::vec(some_range(), 0..=1),
            aperture in some_range(),
            mapping in some_range(),
        ) {
            let mapped = |r| intersection(r, mapping).is_some();
            let expected = windows.first().is_some_and(|w| {
                let disjoint = intersection(*w, aperture).is_none();
                let (w, a, m) = (set_of(&[*w]), set_of(&[aperture]), set_of(&[mapping]));
                disjoint || (0..64).any(|i| w[i] && m[i] && !a[i])
            });
            prop_assert_eq!(conflicts(&windows, aperture, mapped), expected);
        }

        #[test]
        fn allowed_is_within_one_window(windows in prop::collection::vec(some_range(), 1..2), r in some_range()) {
            let (w, s) = (set_of(&windows), set_of(&[r]));
            prop_assert_eq!(allows(&windows, r), (0..64).all(|i| !s[i] || w[i]));
        }
    }

    #[test]
    fn the_ends_of_the_address_space() {
        let all = [IovaRange::ALL];
        assert_eq!(
            collect(|out| exclude(&all, range(0, 0xfff), out)),
            [range(0x1000, u64::MAX)]
        );
        assert_eq!(
            collect(|out| exclude(&all, range(!0xfff, u64::MAX), out)),
            [range(0, !0x1000)]
        );
        assert!(collect(|out| exclude(&all, IovaRange::ALL, out)).is_empty());
        assert!(!conflicts(&all, IovaRange::ALL, |_| true));
        assert!(allows(&[], IovaRange::ALL));
        // Neighbours are two windows: a range must be within one.
        assert!(!allows(&[range(0, 9), range(10, 19)], range(5, 15)));
    }

    #[test]
    fn hull_of_what_is_left() {
        let windows = [range(8, 15), range(24, 31)];
        assert_eq!(hull(&windows, None), Some(range(8, 31)));
        assert_eq!(hull(&windows, Some(range(0, 63))), Some(range(0, 63)));
        assert_eq!(hull(&[], Some(range(0, 63))), None);
    }
}
