// SPDX-License-Identifier: GPL-2.0

//! The payload's ELF file: what goes where, and the entry by PVH, which stands in a note.

use anyhow::{ensure, Context, Result};

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Xen's note of the entry in 32-bit protected mode.
const PHYS32_ENTRY: u32 = 18;
const XEN: &[u8] = b"Xen\0";

/// Bytes and the physical address where they belong.
pub struct Segment<'a> {
    /// Physical address.
    pub address: u64,
    /// Content; what the file has no bytes for is zero.
    pub bytes: &'a [u8],
}

/// A payload.
pub struct Payload<'a> {
    /// What is loaded.
    pub segments: Vec<Segment<'a>>,
    /// Where the processor begins.
    pub entry: u32,
}

fn field<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N]> {
    let bytes = offset.checked_add(N).and_then(|end| file.get(offset..end));
    bytes
        .context("the file is cut short")?
        .try_into()
        .context("field")
}

fn word(file: &[u8], offset: usize) -> Result<u32> {
    field(file, offset).map(u32::from_le_bytes)
}

fn address(file: &[u8], offset: usize) -> Result<u64> {
    field(file, offset).map(u64::from_le_bytes)
}

impl<'a> Payload<'a> {
    /// Reads a 64-bit ELF file for x86.
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        ensure!(
            field(file, 0)? == *b"\x7fELF\x02\x01",
            "no 64-bit little-endian ELF file"
        );
        let table = usize::try_from(address(file, 32)?)?;
        let size = usize::from(u16::from_le_bytes(field(file, 54)?));
        let count = usize::from(u16::from_le_bytes(field(file, 56)?));
        let mut segments = Vec::new();
        let mut entry = None;
        for index in 0..count {
            let header = index
                .checked_mul(size)
                .and_then(|offset| offset.checked_add(table))
                .context("header")?;
            let (offset, physical) = (address(file, header + 8)?, address(file, header + 24)?);
            let (start, length) = (
                usize::try_from(offset)?,
                usize::try_from(address(file, header + 32)?)?,
            );
            let end = start.checked_add(length).context("segment")?;
            let bytes = file.get(start..end).context("a segment is cut short")?;
            match word(file, header)? {
                PT_LOAD => segments.push(Segment {
                    address: physical,
                    bytes,
                }),
                PT_NOTE => entry = entry.or(pvh_entry(bytes)),
                _ => (),
            }
        }
        Ok(Self {
            segments,
            entry: entry.context("no entry for PVH")?,
        })
    }
}

fn pvh_entry(notes: &[u8]) -> Option<u32> {
    let mut offset = 0usize;
    loop {
        let name_size = usize::try_from(word(notes, offset).ok()?).ok()?;
        let size = usize::try_from(word(notes, offset + 4).ok()?).ok()?;
        let kind = word(notes, offset + 8).ok()?;
        let name = offset.checked_add(12)?;
        let content = name.checked_add(name_size)?.checked_next_multiple_of(4)?;
        if kind == PHYS32_ENTRY && notes.get(name..name + name_size)? == XEN {
            return word(notes, content).ok();
        }
        offset = content.checked_add(size)?.checked_next_multiple_of(4)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One segment of four bytes for 2 MiB, and the note.
    fn file() -> Vec<u8> {
        let mut file = vec![0; 64 + 2 * 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = 56;
        file[56] = 2;
        let mut header = |index: usize, kind: u8, offset: u64, physical: u64, size: u64| {
            let at = 64 + 56 * index;
            file[at] = kind;
            file[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
            file[at + 24..at + 32].copy_from_slice(&physical.to_le_bytes());
            file[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
        };
        header(0, 1, 176, 0x20_0000, 4);
        header(1, 4, 180, 0, 24);
        file.extend([1, 2, 3, 4]);
        file.extend([4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0]);
        file.extend(b"Xen\0");
        file.extend([0x10, 0, 0x20, 0, 0, 0, 0, 0]);
        file
    }

    #[test]
    fn segments_and_entry() {
        let file = file();
        let payload = Payload::parse(&file).unwrap();
        assert_eq!(payload.entry, 0x20_0010);
        assert_eq!(payload.segments.len(), 1);
        assert_eq!(
            (payload.segments[0].address, payload.segments[0].bytes),
            (0x20_0000, &[1, 2, 3, 4][..])
        );
    }

    #[test]
    fn any_cut_is_refused() {
        let file = file();
        for size in 0..file.len() - 4 {
            assert!(Payload::parse(&file[..size]).is_err(), "{size}");
        }
    }
}
