// SPDX-License-Identifier: GPL-2.0

//! What is told of many samples of one operation, in ticks of the counter.

/// Summary of a series of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many there are; never zero.
    pub count: u64,
    /// Their sum, saturating.
    pub total: u64,
    /// The smallest.
    pub min: u64,
    /// The middle one by nearest rank: at least half are not above it.
    pub median: u64,
    /// By nearest rank: at least 99 of 100 are not above it.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// Sorts `samples` and sums them up; `None` if there are none.
pub fn summarize(samples: &mut [u32]) -> Option<Summary> {
    samples.sort_unstable();
    Some(Summary {
        count: samples.len() as u64,
        total: samples
            .iter()
            .fold(0, |sum: u64, &sample| sum.saturating_add(u64::from(sample))),
        min: u64::from(*samples.first()?),
        median: percentile(samples, 50)?,
        p99: percentile(samples, 99)?,
        max: u64::from(*samples.last()?),
    })
}

/// The sample of nearest rank in a sorted series: rank ceil(percent / 100 * n), counted from one.
fn percentile(sorted: &[u32], percent: usize) -> Option<u64> {
    let rank = sorted.len().checked_mul(percent)?.div_ceil(100);
    sorted
        .get(rank.checked_sub(1)?)
        .map(|&ticks| u64::from(ticks))
}

/// Counts per power of two: bucket `i` holds the samples from 2^i up to below 2^(i+1), and zero is
/// in bucket 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram([u32; 32]);

impl Histogram {
    /// Of these samples, sorted or not.
    pub fn of(samples: &[u32]) -> Self {
        let mut counts = [0u32; 32];
        for &sample in samples {
            if let Some(count) = counts.get_mut(sample.max(1).ilog2() as usize) {
                *count = count.saturating_add(1);
            }
        }
        Self(counts)
    }

    /// The buckets that are not empty, as (lower bound in ticks, count).
    pub fn filled(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        (0..)
            .zip(self.0)
            .filter(|&(_, count)| count > 0)
            .map(|(power, count)| (1u64 << power, count))
    }

    /// The count of the fullest bucket.
    pub fn peak(&self) -> u32 {
        self.0.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(summarize(&mut []), None);
    }

    #[test]
    fn one_sample() {
        let summary = summarize(&mut [7]).unwrap();
        assert_eq!(
            (summary.min, summary.median, summary.p99, summary.max),
            (7, 7, 7, 7)
        );
        assert_eq!((summary.count, summary.total), (1, 7));
    }

    #[test]
    fn ranks_of_a_hundred() {
        let mut samples: Vec<u32> = (1..=100).rev().collect();
        let summary = summarize(&mut samples).unwrap();
        assert_eq!(
            (summary.min, summary.median, summary.p99, summary.max),
            (1, 50, 99, 100)
        );
        assert_eq!(summary.total, 5050);
    }

    #[test]
    fn one_outlier_in_a_hundred_is_above_p99() {
        let mut samples = vec![10; 100];
        samples[3] = 5000;
        let summary = summarize(&mut samples).unwrap();
        assert_eq!((summary.p99, summary.max), (10, 5000));
    }

    #[test]
    fn buckets() {
        let histogram = Histogram::of(&[0, 1, 2, 3, 4, 1023, 1024, u32::MAX]);
        let filled: Vec<_> = histogram.filled().collect();
        assert_eq!(
            filled,
            [(1, 2), (2, 2), (4, 1), (512, 1), (1024, 1), (1 << 31, 1)]
        );
        assert_eq!(histogram.peak(), 2);
    }

    proptest! {
        #[test]
        fn of_any_series(samples in prop::collection::vec(any::<u32>(), 1..300)) {
            let mut sorted = samples.clone();
            let summary = summarize(&mut sorted).unwrap();
            let below = |limit: u64| samples.iter().filter(|&&s| u64::from(s) <= limit).count();
            prop_assert!(below(summary.median) * 2 >= samples.len());
            prop_assert!(below(summary.p99) * 100 >= samples.len() * 99);
            prop_assert_eq!(summary.min, u64::from(*samples.iter().min().unwrap()));
            prop_assert_eq!(summary.max, u64::from(*samples.iter().max().unwrap()));
            prop_assert_eq!(summary.total, samples.iter().map(|&s| u64::from(s)).sum::<u64>());
            let counted: u64 = Histogram::of(&samples).filled().map(|(_, n)| u64::from(n)).sum();
            prop_assert_eq!(counted, summary.count);
        }
    }
}
