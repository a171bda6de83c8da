// SPDX-License-Identifier: GPL-2.0

//! Ticks of a counter as nanoseconds.

use core::fmt;

/// A time in tenths of a nanosecond, which is the resolution of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenths(pub u64);

impl Tenths {
    /// The share of one of `count`, rounded down; zero for a count of zero.
    pub fn per(self, count: u64) -> Self {
        Self(self.0.checked_div(count).unwrap_or(0))
    }
}

/// Nanoseconds with one decimal. Width and alignment apply to the whole.
impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// The rate of a counter in Hz, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency(u64);

/// The fastest counter that [`Frequency::tenths`] converts without overflow.
const MAX_HZ: u64 = 16_000_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

impl Frequency {
    /// `None` for zero and above 16 GHz: no counter is that fast.
    pub fn new(hz: u64) -> Option<Self> {
        (1..=MAX_HZ).contains(&hz).then_some(Self(hz))
    }

    /// In Hz.
    pub fn hz(self) -> u64 {
        self.0
    }

    /// `ticks` as a time, rounded down; saturates after some 58 years.
    ///
    /// In steps, because 128-bit division needs a runtime library that bare metal does not have.
    pub fn tenths(self, ticks: u64) -> Tenths {
        let seconds = ticks / self.0;
        let scaled = (ticks % self.0) * NS_PER_SECOND;
        let (ns, rest) = (scaled / self.0, scaled % self.0);
        Tenths(
            seconds
                .saturating_mul(NS_PER_SECOND * 10)
                .saturating_add(ns * 10 + rest * 10 / self.0),
        )
    }

    /// The ticks in `milliseconds`, rounded down; saturating.
    pub fn ticks_of_ms(self, milliseconds: u64) -> u64 {
        (self.0 / 1000)
            .saturating_mul(milliseconds)
            .saturating_add((self.0 % 1000).saturating_mul(milliseconds) / 1000)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn one_gigahertz_is_a_tick_per_nanosecond() {
        let clock = Frequency::new(1_000_000_000).unwrap();
        assert_eq!(clock.tenths(786_432), Tenths(7_864_320));
        assert_eq!(clock.tenths(786_432).to_string(), "786432.0");
        assert_eq!(clock.ticks_of_ms(10), 10_000_000);
    }

    #[test]
    fn slow_counters_have_decimals() {
        let clock = Frequency::new(62_500_000).unwrap();
        assert_eq!(clock.tenths(1), Tenths(160));
        let clock = Frequency::new(24_000_000).unwrap();
        assert_eq!(clock.tenths(1).to_string(), "41.6");
    }

    #[test]
    fn rates_that_cannot_be() {
        assert_eq!(Frequency::new(0), None);
        assert_eq!(Frequency::new(MAX_HZ + 1), None);
        assert!(Frequency::new(MAX_HZ).is_some());
    }

    #[test]
    fn an_average_of_nothing() {
        assert_eq!(Tenths(50).per(0), Tenths(0));
        assert_eq!(Tenths(55).per(10), Tenths(5));
    }

    proptest! {
        #[test]
        fn as_with_wide_integers(hz in 1..=MAX_HZ, ticks: u64) {
            let exact = u128::from(ticks) * 10_000_000_000 / u128::from(hz);
            let got = Frequency::new(hz).unwrap().tenths(ticks).0;
            prop_assert_eq!(u128::from(got), exact.min(u128::from(u64::MAX)));
        }

        #[test]
        fn milliseconds(hz in 1..=MAX_HZ, ms in 0..100_000u64) {
            let exact = u128::from(hz) * u128::from(ms) / 1000;
            prop_assert_eq!(u128::from(Frequency::new(hz).unwrap().ticks_of_ms(ms)), exact);
        }
    }
}
