// SPDX-License-Identifier: GPL-2.0

//! Commands of the interrupt translation service, ITS (Arm IHI 0069H, section 5.3).

/// Bytes of one command in the queue.
pub const COMMAND_SIZE: usize = 32;

/// A command, four little-endian doublewords.
pub type Command = [u64; 4];

/// Device as the ITS numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId(pub u32);

/// Event of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId(pub u32);

/// Interrupt number; those of LPIs begin at 8192.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntId(pub u32);

/// A set of interrupts that one redistributor serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionId(pub u16);

/// Redistributor as commands name it: bits 51:16 of the field, its address or its number, as
/// GITS_TYPER.PTA says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(u64);

impl Target {
    const MASK: u64 = 0x000f_ffff_ffff_0000;

    /// By address, where GITS_TYPER.PTA is 1.
    pub fn address(redistributor: u64) -> Self {
        Self(redistributor & Self::MASK)
    }

    /// By GICR_TYPER.Processor_Number, where GITS_TYPER.PTA is 0.
    pub fn processor(number: u16) -> Self {
        Self(u64::from(number) << 16)
    }
}

const VALID: u64 = 1 << 63;

fn head(opcode: u64, device: DeviceId) -> u64 {
    opcode | (u64::from(device.0) << 32)
}

/// INT: makes the event's interrupt pending.
pub fn int(device: DeviceId, event: EventId) -> Command {
    [head(0x03, device), u64::from(event.0), 0, 0]
}

/// SYNC: earlier commands have taken effect at the redistributor once this is done.
pub fn sync(target: Target) -> Command {
    [0x05, 0, target.0, 0]
}

/// MAPD: gives a device its translation table for 2^`event_bits` events, 256-byte aligned;
/// `event_bits` is 1 to 32.
pub fn mapd(device: DeviceId, table: u64, event_bits: u8) -> Command {
    let size = u64::from(event_bits.saturating_sub(1) & 0x1f);
    [
        head(0x08, device),
        size,
        VALID | table & 0x000f_ffff_ffff_ff00,
        0,
    ]
}

/// MAPC: has `target` serve the collection.
pub fn mapc(collection: CollectionId, target: Target) -> Command {
    [0x09, 0, VALID | target.0 | u64::from(collection.0), 0]
}

/// MAPTI: makes the event of the device the interrupt `interrupt` in the collection.
pub fn mapti(
    device: DeviceId,
    event: EventId,
    interrupt: IntId,
    collection: CollectionId,
) -> Command {
    [
        head(0x0a, device),
        u64::from(event.0) | (u64::from(interrupt.0) << 32),
        u64::from(collection.0),
        0,
    ]
}

/// INVALL: has the redistributor of the collection read the configuration of its interrupts again.
pub fn invall(collection: CollectionId) -> Command {
    [0x0d, 0, u64::from(collection.0), 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId(2);
    const EVENT: EventId = EventId(20);

    #[test]
    fn fields_are_where_the_specification_has_them() {
        assert_eq!(int(DEVICE, EVENT), [0x2_0000_0003, 20, 0, 0]);
        assert_eq!(sync(Target::processor(1)), [5, 0, 0x1_0000, 0]);
        assert_eq!(
            mapd(DEVICE, 0x4008_0100, 3),
            [0x2_0000_0008, 2, (1 << 63) | 0x4008_0100, 0]
        );
        assert_eq!(
            mapc(CollectionId(1), Target::processor(1)),
            [9, 0, (1 << 63) | 0x1_0001, 0]
        );
        assert_eq!(
            mapti(DEVICE, EVENT, IntId(8199), CollectionId(1)),
            [0x2_0000_000a, (8199 << 32) | 20, 1, 0]
        );
        assert_eq!(invall(CollectionId(1)), [0xd, 0, 1, 0]);
    }

    #[test]
    fn addresses_keep_to_their_field() {
        assert_eq!(Target::address(0xfff0_0000_080c_0fff), Target(0x080c_0000));
        assert_eq!(
            mapd(DEVICE, u64::MAX, 33)[2],
            (1 << 63) | 0x000f_ffff_ffff_ff00
        );
        assert_eq!(mapd(DEVICE, 0, 0)[1], 0);
    }
}
