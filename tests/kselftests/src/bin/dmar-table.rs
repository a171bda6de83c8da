// SPDX-License-Identifier: GPL-2.0

//! Runs on the host: writes an ACPI DMAR table that takes the place of QEMU's in a guest
//! (`acpi = ...` of a suite). The table's own checksum and length are right unless asked for
//! otherwise, so that it reaches the driver; what is in it may be as wrong as a firmware's.

use anyhow::{bail, ensure, Context, Result};
use std::io::{stdout, Write};

const USAGE: &str = "\
Usage: dmar-table [haw=BITS] [flags=BITS] STRUCTURE...

A STRUCTURE is a word, followed by its fields in the form NAME=VALUE; numbers as in Rust.

  drhd base=ADDRESS [segment=N] [all]    a remapping unit; with 'all' for what no other unit names
  rmrr base=ADDRESS limit=ADDRESS [segment=N]
  rhsa base=ADDRESS                      affinity of a remapping unit
  andd number=N name=ACPI-PATH           the name of a device of the ACPI namespace
  bytes HEXADECIMAL                      anything

  scope=KIND:BUS:PATH[:NUMBER]           in a drhd or rmrr: KIND is endpoint, bridge, ioapic or acpi, BUS
                                         the number of a root bus, PATH device.function, with
                                         /device.function behind each bridge; NUMBER of an I/O APIC or of
                                         an andd
  length=N                               the length that the structure claims to have
";

/// What QEMU's table has: the kernel replaces a table only by one with the same names and a higher
/// revision.
const OEM_ID: &[u8; 6] = b"BOCHS ";
const OEM_TABLE_ID: &[u8; 8] = b"BXPC    ";
const OEM_REVISION: u32 = 2;

const TYPE_DRHD: u16 = 0;
const TYPE_RMRR: u16 = 1;
const TYPE_RHSA: u16 = 3;
const TYPE_ANDD: u16 = 4;
const INCLUDE_PCI_ALL: u8 = 1 << 0;

/// A structure that is being made (VT-d specification, chapter 8).
struct Structure {
    kind: u16,
    segment: u16,
    all: bool,
    base: u64,
    limit: u64,
    number: u8,
    name: String,
    scopes: Vec<u8>,
    length: Option<u16>,
}

impl Structure {
    fn new(kind: u16) -> Self {
        Self {
            kind,
            segment: 0,
            all: false,
            base: 0,
            limit: 0,
            number: 0,
            name: String::new(),
            scopes: Vec::new(),
            length: None,
        }
    }

    fn set(&mut self, word: &str) -> Result<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "all" => self.all = true,
            "base" => self.base = number(value)?,
            "limit" => self.limit = number(value)?,
            "segment" => self.segment = number(value)?.try_into()?,
            "number" => self.number = number(value)?.try_into()?,
            "name" => self.name = value.to_owned(),
            "length" => self.length = Some(number(value)?.try_into()?),
            "scope" => self.scopes.extend(scope(value)?),
            _ => bail!("unknown field {word:?}"),
        }
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend([0; 2]);
        match self.kind {
            TYPE_DRHD => {
                bytes.extend([if self.all { INCLUDE_PCI_ALL } else { 0 }, 0]);
                bytes.extend(self.segment.to_le_bytes());
                bytes.extend(self.base.to_le_bytes());
            }
            TYPE_RHSA => {
                bytes.extend([0; 4]);
                bytes.extend(self.base.to_le_bytes());
                bytes.extend([0; 4]);
            }
            TYPE_ANDD => {
                bytes.extend([0, 0, 0, self.number]);
                bytes.extend(self.name.bytes());
                bytes.push(0);
            }
            _ => {
                bytes.extend([0; 2]);
                bytes.extend(self.segment.to_le_bytes());
                bytes.extend(self.base.to_le_bytes());
                bytes.extend(self.limit.to_le_bytes());
            }
        }
        bytes.extend(&self.scopes);
        let length = match self.length {
            Some(length) => length,
            None => bytes.len().try_into()?,
        };
        bytes[2..4].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }
}

fn number(text: &str) -> Result<u64> {
    let plain = text.replace('_', "");
    let parsed = match plain.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => plain.parse(),
    };
    parsed.with_context(|| format!("not a number: {text:?}"))
}

fn scope(text: &str) -> Result<Vec<u8>> {
    let mut parts = text.splitn(4, ':');
    let mut next = || {
        parts
            .next()
            .with_context(|| format!("not KIND:BUS:PATH[:NUMBER]: {text:?}"))
    };
    let kind = match next()? {
        "endpoint" => 1,
        "bridge" => 2,
        "ioapic" => 3,
        "acpi" => 5,
        other => bail!("unknown kind of scope {other:?}"),
    };
    let bus = u8::from_str_radix(next()?, 16)?;
    let mut path = Vec::new();
    for element in next()?.split('/').filter(|path| !path.is_empty()) {
        let (device, function) = element.split_once('.').context("not device.function")?;
        path.extend([u8::from_str_radix(device, 16)?, function.parse()?]);
    }
    let number = next().map_or(Ok(0), str::parse)?;
    let mut bytes = vec![kind, u8::try_from(6 + path.len())?, 0, 0, number, bus];
    bytes.extend(path);
    Ok(bytes)
}

fn table(words: &[String]) -> Result<Vec<u8>> {
    let (mut haw, mut flags) = (48, 0);
    let mut structures = Vec::new();
    let mut current: Option<Structure> = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "drhd" | "rmrr" | "rhsa" | "andd" | "bytes" => {
                if let Some(done) = current.take() {
                    structures.extend(done.bytes()?);
                }
            }
            _ => {}
        }
        match (word.as_str(), &mut current) {
            ("drhd", _) => current = Some(Structure::new(TYPE_DRHD)),
            ("rmrr", _) => current = Some(Structure::new(TYPE_RMRR)),
            ("rhsa", _) => current = Some(Structure::new(TYPE_RHSA)),
            ("andd", _) => current = Some(Structure::new(TYPE_ANDD)),
            ("bytes", _) => {
                let digits = words.next().context("bytes needs a value")?;
                ensure!(
                    digits.len() % 2 == 0 && digits.is_ascii(),
                    "odd bytes {digits:?}"
                );
                for at in (0..digits.len()).step_by(2) {
                    structures.push(u8::from_str_radix(&digits[at..at + 2], 16)?);
                }
            }
            (_, Some(structure)) => structure.set(word)?,
            (_, None) => match word.split_once('=') {
                Some(("haw", value)) => haw = number(value)?,
                Some(("flags", value)) => flags = number(value)?,
                _ => bail!("unknown word {word:?}"),
            },
        }
    }
    if let Some(done) = current {
        structures.extend(done.bytes()?);
    }

    let mut table = b"DMAR".to_vec();
    table.extend(u32::try_from(48 + structures.len())?.to_le_bytes());
    table.extend([1, 0]);
    table.extend(OEM_ID);
    table.extend(OEM_TABLE_ID);
    table.extend(OEM_REVISION.to_le_bytes());
    table.extend(b"SIOV");
    table.extend(1u32.to_le_bytes());
    table.extend([u8::try_from(haw - 1)?, u8::try_from(flags)?]);
    table.extend([0; 10]);
    table.extend(structures);
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = sum.wrapping_neg();
    Ok(table)
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() || words[0] == "--help" {
        print!("{USAGE}");
        return Ok(());
    }
    Ok(stdout().write_all(&table(&words)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(words: &str) -> Vec<u8> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        table(&words).unwrap()
    }

    #[test]
    fn a_whole_table() {
        let table =
            made("haw=39 flags=8 drhd base=0xfed90000 segment=1 all scope=bridge:0:1d.2/03.0");
        assert_eq!(&table[..8], b"DMAR\x4a\0\0\0");
        assert_eq!(table.iter().fold(0u8, |s, b| s.wrapping_add(*b)), 0);
        assert_eq!(table[36..38], [38, 8]);
        let unit = [
            0, 0, 26, 0, 1, 0, 1, 0, 0, 0, 0xd9, 0xfe, 0, 0, 0, 0, 2, 10, 0, 0, 0, 0,
        ];
        assert_eq!(table[48..48 + 22], unit);
        assert_eq!(table[70..], [0x1d, 2, 3, 0]);
    }

    #[test]
    fn acpi_devices() {
        let table =
            made("drhd base=0x1000 scope=acpi:f0:15.1:3 andd number=3 name=A.B rhsa base=1");
        assert_eq!(table[64..72], [5, 8, 0, 0, 3, 0xf0, 0x15, 1]);
        assert_eq!(table[72..84], *b"\x04\0\x0c\0\0\0\0\x03A.B\0");
        assert_eq!(table[84..88], [3, 0, 20, 0]);
        assert_eq!(table.len(), 48 + 24 + 12 + 20);
    }

    #[test]
    fn wrong_on_purpose() {
        let table = made("drhd base=0xfed90000 length=0 rmrr base=0x2000 limit=0x1fff bytes 00ff");
        assert_eq!(table[50..52], [0, 0]);
        assert_eq!(table[64..68], [1, 0, 24, 0]);
        assert_eq!(table[table.len() - 2..], [0, 0xff]);
        assert!(super::table(&["drhd".into(), "wrong=1".into()]).is_err());
    }
}
