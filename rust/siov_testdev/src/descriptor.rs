// SPDX-License-Identifier: GPL-2.0

//! A descriptor: 64 bytes with the work of an ADI (section "Descriptors").

use bitflags::bitflags;
use siov_types::{Iova, IovaRange};

use crate::bytes::{U32At, U64At};

/// What a descriptor asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// Nothing but the completion.
    Nop = 0,
    /// Copy from source to destination.
    Copy = 1,
    /// Fill the destination with the pattern.
    Fill = 2,
    /// CRC32C of the source, as in RFC 3720, appendix B.4.
    Crc32c = 3,
    /// Compare source and destination.
    Compare = 4,
}

impl Opcode {
    /// A bit per opcode, as in the capabilities register.
    pub const ALL: u32 = (1 << 5) - 1;

    /// From a descriptor's byte.
    #[inline]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Nop,
            1 => Self::Copy,
            2 => Self::Fill,
            3 => Self::Crc32c,
            4 => Self::Compare,
            _ => return None,
        })
    }

    /// Whether the source is read.
    #[inline]
    pub const fn reads_source(self) -> bool {
        matches!(self, Self::Copy | Self::Crc32c | Self::Compare)
    }

    /// Whether the destination is written.
    #[inline]
    pub const fn writes_destination(self) -> bool {
        matches!(self, Self::Copy | Self::Fill)
    }

    /// Whether the destination is used at all.
    #[inline]
    pub const fn uses_destination(self) -> bool {
        self.writes_destination() || matches!(self, Self::Compare)
    }
}

bitflags! {
    /// Flags of a descriptor.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct DescriptorFlags: u8 {
        /// Write a completion record.
        const COMPLETION_RECORD = 1 << 0;
        /// Raise the ADI's vector afterwards, if it is enabled.
        const INTERRUPT = 1 << 1;
    }
}

/// A descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// What to do.
    pub opcode: Opcode,
    /// How to finish.
    pub flags: DescriptorFlags,
    /// Bytes to work on.
    pub length: u32,
    /// Source.
    pub source: Iova,
    /// Destination.
    pub destination: Iova,
    /// Where the completion record goes; a multiple of
    /// [`Completion::BYTES`](crate::Completion::BYTES).
    pub completion: Iova,
    /// What to fill with: repeated from the start of the destination on, low byte first.
    pub pattern: u64,
    /// Comes back in the completion record.
    pub tag: u32,
}

/// Why 64 bytes are no descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// No such operation.
    Opcode,
    /// An undefined flag, or reserved bytes that are not zero.
    Reserved,
    /// A range that passes the end of the address space.
    Range,
    /// A completion record that is not aligned to its size.
    Alignment,
}

// Opcode in bits 7:0, flags in bits 15:8, the rest reserved.
type Head = U32At<0>;
type Length = U32At<4>;
type Source = U64At<8>;
type Destination = U64At<16>;
type CompletionAddress = U64At<24>;
type Pattern = U64At<32>;
type Tag = U32At<40>;
type Reserved0 = U32At<44>;
type Reserved1 = U64At<48>;
type Reserved2 = U64At<56>;

impl Descriptor {
    /// Bytes of a descriptor, and its alignment in a ring.
    pub const BYTES: usize = 64;

    /// A NOP without completion, to be filled in.
    pub const NOP: Self = Self {
        opcode: Opcode::Nop,
        flags: DescriptorFlags::empty(),
        length: 0,
        source: Iova::new(0),
        destination: Iova::new(0),
        completion: Iova::new(0),
        pattern: 0,
        tag: 0,
    };

    /// The form in memory.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let head = self.opcode as u32 | (u32::from(self.flags.bits()) << 8);
        Head::put(&mut bytes, head);
        Length::put(&mut bytes, self.length);
        Source::put(&mut bytes, self.source.raw());
        Destination::put(&mut bytes, self.destination.raw());
        CompletionAddress::put(&mut bytes, self.completion.raw());
        Pattern::put(&mut bytes, self.pattern);
        Tag::put(&mut bytes, self.tag);
        bytes
    }

    /// The tag of any 64 bytes, so that even an invalid descriptor can be answered.
    pub const fn tag_of(bytes: &[u8; Self::BYTES]) -> u32 {
        Tag::get(bytes)
    }

    /// Reads the form in memory, and checks all that does not depend on the state of the device.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, Invalid> {
        let head = Head::get(bytes);
        let opcode = Opcode::from_raw(head as u8).ok_or(Invalid::Opcode)?;
        let flags = DescriptorFlags::from_bits((head >> 8) as u8).ok_or(Invalid::Reserved)?;
        let reserved =
            Reserved0::get(bytes) != 0 || Reserved1::get(bytes) != 0 || Reserved2::get(bytes) != 0;
        if head >> 16 != 0 || reserved {
            return Err(Invalid::Reserved);
        }
        let descriptor = Self {
            opcode,
            flags,
            length: Length::get(bytes),
            source: Iova::new(Source::get(bytes)),
            destination: Iova::new(Destination::get(bytes)),
            completion: Iova::new(CompletionAddress::get(bytes)),
            pattern: Pattern::get(bytes),
            tag: Self::tag_of(bytes),
        };
        descriptor.check()?;
        Ok(descriptor)
    }

    fn check(&self) -> Result<(), Invalid> {
        let length = u64::from(self.length);
        let fits = |start| length == 0 || IovaRange::from_len(start, length).is_some();
        if self.opcode.reads_source() && !fits(self.source)
            || self.opcode.uses_destination() && !fits(self.destination)
        {
            return Err(Invalid::Range);
        }
        if self.flags.contains(DescriptorFlags::COMPLETION_RECORD)
            && !self.completion.is_aligned(crate::Completion::BYTES as u64)
        {
            return Err(Invalid::Alignment);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Descriptor {
        Descriptor {
            opcode: Opcode::Compare,
            flags: DescriptorFlags::all(),
            length: 0x0102_0304,
            source: Iova::new(0x1112_1314_1516_1718),
            destination: Iova::new(0x2122_2324_2526_2728),
            completion: Iova::new(0x3132_3334_3536_3720),
            pattern: 0x4142_4344_4546_4748,
            tag: 0x5152_5354,
        }
    }

    #[test]
    fn the_form_in_memory_is_the_specified_one() {
        let b = example().to_bytes();
        assert_eq!(b[..8], [4, 3, 0, 0, 4, 3, 2, 1]);
        assert_eq!(b[8..16], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(b[16..24], [0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        assert_eq!(b[24..32], [0x20, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31]);
        assert_eq!(b[32..40], [0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41]);
        assert_eq!(b[40..48], [0x54, 0x53, 0x52, 0x51, 0, 0, 0, 0]);
        assert_eq!(b[48..], [0; 16]);
        assert_eq!(Descriptor::from_bytes(&b), Ok(example()));
        assert_eq!(Descriptor::tag_of(&b), 0x5152_5354);
    }

    #[test]
    fn every_reserved_byte_must_be_zero() {
        for at in [2, 3].into_iter().chain(44..64) {
            let mut b = example().to_bytes();
            b[at] = 0x80;
            assert_eq!(
                Descriptor::from_bytes(&b),
                Err(Invalid::Reserved),
                "byte {at}"
            );
        }
        let mut b = example().to_bytes();
        b[1] = 4;
        assert_eq!(Descriptor::from_bytes(&b), Err(Invalid::Reserved));
        b[0] = 5;
        assert_eq!(Descriptor::from_bytes(&b), Err(Invalid::Opcode));
    }

    #[test]
    fn ranges_and_alignment_count_only_where_they_are_used() {
        let top = Iova::new(u64::MAX - 0xfff);
        let mut d = Descriptor {
            source: top,
            length: 0x1001,
            ..Descriptor::NOP
        };
        assert!(Descriptor::from_bytes(&d.to_bytes()).is_ok());
        d.opcode = Opcode::Fill;
        assert!(Descriptor::from_bytes(&d.to_bytes()).is_ok());
        d.opcode = Opcode::Crc32c;
        assert_eq!(Descriptor::from_bytes(&d.to_bytes()), Err(Invalid::Range));
        d.length = 0x1000;
        assert!(Descriptor::from_bytes(&d.to_bytes()).is_ok());

        let mut d = Descriptor {
            completion: Iova::new(16),
            ..Descriptor::NOP
        };
        assert!(Descriptor::from_bytes(&d.to_bytes()).is_ok());
        d.flags = DescriptorFlags::COMPLETION_RECORD;
        assert_eq!(
            Descriptor::from_bytes(&d.to_bytes()),
            Err(Invalid::Alignment)
        );
    }
}
