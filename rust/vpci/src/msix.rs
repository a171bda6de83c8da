// SPDX-License-Identifier: GPL-2.0

//! The BAR with table and pending bits of MSI-X, as plain memory: who virtualizes the function
//! delivers its interrupts, and only has to find there what was written.

/// A page with a table at its start; what lies past the table reads as 0.
#[derive(Clone, Debug)]
pub struct MsixTable<const BYTES: usize>([u8; BYTES]);

/// Vector Control of each entry begins masked (PCI Local Bus Specification 3.0, 6.8.2.9).
const CONTROL: usize = 12;
const ENTRY: usize = 16;

impl<const BYTES: usize> MsixTable<BYTES> {
    /// After reset.
    pub fn new() -> Self {
        let mut bytes = [0; BYTES];
        for control in bytes.iter_mut().skip(CONTROL).step_by(ENTRY) {
            *control = 1;
        }
        Self(bytes)
    }

    /// Reads from `offset` on.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        data.fill(0);
        for (to, from) in data.iter_mut().zip(self.0.iter().skip(offset)) {
            *to = *from;
        }
    }

    /// Writes from `offset` on; nothing happens past the table.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(offset).zip(data) {
            *to = *from;
        }
    }
}

impl<const BYTES: usize> Default for MsixTable<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_begin_masked_and_keep_what_is_written() {
        let mut table = MsixTable::<32>::new();
        let mut word = [0; 4];
        table.read(12, &mut word);
        assert_eq!(word, [1, 0, 0, 0]);
        table.read(28, &mut word);
        assert_eq!(word, [1, 0, 0, 0]);
        table.write(16, &[1, 2, 3, 4]);
        table.read(16, &mut word);
        assert_eq!(word, [1, 2, 3, 4]);
        table.write(32, &[9; 4]);
        table.read(30, &mut word);
        assert_eq!(word, [0; 4]);
    }
}
