// SPDX-License-Identifier: GPL-2.0

//! What a device is to QEMU.

use std::ffi::CStr;

use crate::error::Error;
use crate::host::Host;
use crate::property::Property;

/// How a device is identified on the bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Base class and sub-class.
    pub class: u16,
}

/// A 64-bit memory BAR that is not prefetchable, served by [`Device::read`] and [`Device::write`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// Number of its low half: 0, 2 or 4.
    pub number: u8,
    /// Name of the region in QEMU's memory tree.
    pub name: &'static CStr,
    /// Bytes, a power of two of at least 16.
    pub size: u64,
}

/// An MSI-X capability with a BAR of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msix {
    /// Number of the BAR.
    pub bar: u8,
    /// Vectors, 1 to 2048.
    pub vectors: u32,
}

/// What the configuration space of a device offers besides the PCIe capability.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Function {
    /// Memory.
    pub bars: Vec<Bar>,
    /// Interrupts.
    pub msix: Option<Msix>,
    /// PASID width in bits, 1 to 20; 0 for no PASID capability.
    pub pasid_bits: u8,
    /// Address translation services, page aligned requests.
    pub ats: bool,
    /// Page request interface with this many outstanding requests.
    pub pri: Option<u32>,
}

/// A PCIe endpoint.
///
/// All calls come with QEMU's big lock held. A device never sees two calls at once; an access to
/// its registers that its own DMA causes reads as all ones, or is lost.
pub trait Device: Sized + 'static {
    /// Name of the type, for `-device`.
    const NAME: &'static CStr;

    /// How it is identified on the bus.
    const IDENTITY: Identity;

    /// Values of the properties; `default()` holds their defaults.
    type Config: Default + 'static;

    /// What can be set behind `-device NAME`.
    const PROPERTIES: &'static [Property<Self::Config>];

    /// Makes a device.
    ///
    /// # Errors
    ///
    /// Why these properties make none.
    fn new(config: &Self::Config) -> Result<(Self, Function), Error>;

    /// A reset: of the machine, of the bus, or of the function.
    fn reset(&mut self, host: &Host);

    /// A read of `size` bytes, 4 or 8 and aligned, at `at` of BAR `bar`.
    fn read(&mut self, bar: u8, at: u64, size: u32, host: &Host) -> u64;

    /// A write of `size` bytes, 4 or 8 and aligned, at `at` of BAR `bar`.
    fn write(&mut self, bar: u8, at: u64, size: u32, value: u64, host: &Host);

    /// The time that was asked for with [`Host::wake`] has come.
    fn run(&mut self, host: &Host);
}
