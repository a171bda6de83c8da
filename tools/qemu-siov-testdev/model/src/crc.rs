// SPDX-License-Identifier: GPL-2.0

//! CRC32C (RFC 3720, appendix B.4).

const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// A checksum under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Crc32c(u32);

impl Crc32c {
    /// Of no bytes.
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    /// Of these bytes as well.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 >> 8) ^ TABLE[(self.0 as u8 ^ byte) as usize];
        }
    }

    /// The checksum.
    pub(crate) const fn value(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = Crc32c::new();
        crc.update(bytes);
        crc.value()
    }

    #[test]
    fn examples_of_the_rfc() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc(&ascending), 0x46dd_794e);
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[]), 0);
    }
}
