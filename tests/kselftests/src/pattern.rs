// SPDX-License-Identifier: GPL-2.0

//! Test data: reproducible bytes in which every position of every stream looks different.

use crate::ktap::Result;

/// A generator of 64-bit words (splitmix64 by Sebastiano Vigna, public domain).
#[derive(Clone, Debug)]
pub struct Words(u64);

impl Words {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_word() % end
    }
}

/// Fills `bytes` with the stream of `seed`.
pub fn fill(bytes: &mut [u8], seed: u64) {
    let mut words = Words::new(seed);
    for chunk in bytes.chunks_mut(8) {
        let word = words.next_word().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// `len` bytes of the stream of `seed`.
pub fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes, seed);
    bytes
}

/// Checks that two blocks are equal.
///
/// # Errors
///
/// Names `what`, the first difference, and how many bytes differ.
pub fn expect_equal(what: &str, found: &[u8], expected: &[u8]) -> Result {
    if found.len() != expected.len() {
        anyhow::bail!(
            "{what}: {} bytes instead of {}",
            found.len(),
            expected.len()
        );
    }
    let Some(at) = found.iter().zip(expected).position(|(f, e)| f != e) else {
        return Ok(());
    };
    let wrong = found.iter().zip(expected).filter(|(f, e)| f != e).count();
    anyhow::bail!(
        "{what}: byte {at} is {:#04x} instead of {:#04x}; {wrong} of {} bytes differ",
        found[at],
        expected[at],
        found.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let a = bytes(64, 1);
        assert_eq!(a, bytes(64, 1));
        assert_ne!(a, bytes(64, 2));
        assert_eq!(a[..13], bytes(13, 1));
        assert!(a.chunks(8).collect::<std::collections::BTreeSet<_>>().len() == 8);
    }

    #[test]
    fn a_difference_is_found_and_counted() {
        let mut a = bytes(32, 1);
        assert!(expect_equal("x", &a, &bytes(32, 1)).is_ok());
        a[9] ^= 0xff;
        a[20] ^= 1;
        let error = expect_equal("x", &a, &bytes(32, 1))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("x: byte 9 ") && error.ends_with("2 of 32 bytes differ"));
        assert!(expect_equal("x", &a[1..], &a).is_err());
    }
}
