// SPDX-License-Identifier: GPL-2.0

//! The model as a device of QEMU.

use std::ffi::CStr;

use qemu_device::{Bar, Device, DmaError, Error, Function, Host, Identity, Msix, Property, Value};
use siov_testdev_model::{self as model, Config, Invalidation, Region, Translation};
use siov_testdev_regs::global::Status;
use siov_testdev_regs::{pci, FaultReason};
use siov_types::{Iova, Pasid, PhysAddr};

/// The device.
pub(crate) struct SiovTestdev(model::Device);

/// The properties and their defaults.
pub(crate) struct Properties(Config);

impl Default for Properties {
    fn default() -> Self {
        Self(Config {
            adis: 64,
            pasid_bits: 20,
            ats: false,
            pri: false,
        })
    }
}

/// Page requests that may be outstanding, as the PRI capability tells.
const PAGE_REQUESTS: u32 = 32;

const BARS: [(usize, &CStr, Region); 2] = [
    (
        pci::BAR_PRIVILEGED,
        c"siov-testdev-privileged",
        Region::Privileged,
    ),
    (pci::BAR_USER, c"siov-testdev-user", Region::User),
];

fn region(bar: u8) -> Option<Region> {
    let is_it = |&&(number, ..): &&(usize, _, _)| number == usize::from(bar);
    BARS.iter().find(is_it).map(|&(.., region)| region)
}

impl Device for SiovTestdev {
    const NAME: &'static CStr = c"siov-testdev";

    const IDENTITY: Identity = Identity {
        vendor: pci::VENDOR_ID,
        device: pci::DEVICE_ID,
        revision: pci::REVISION,
        class: pci::CLASS,
    };

    type Config = Properties;

    const PROPERTIES: &'static [Property<Properties>] = &[
        Property {
            name: c"adis",
            description: c"number of assignable device interfaces (default: 64)",
            value: Value::U32 {
                range: 1..=pci::MAX_ADIS,
                get: |properties| properties.0.adis,
                set: |properties, value| properties.0.adis = value,
            },
        },
        Property {
            name: c"pasid-bits",
            description: c"PASID width, 0 for no PASID capability (default: 20)",
            value: Value::U32 {
                range: 0..=20,
                get: |properties| properties.0.pasid_bits.into(),
                // The range has been checked.
                set: |properties, value| properties.0.pasid_bits = value as u8,
            },
        },
        Property {
            name: c"ats",
            description: c"address translation services (default: off)",
            value: Value::Bool {
                get: |properties| properties.0.ats,
                set: |properties, value| properties.0.ats = value,
            },
        },
        Property {
            name: c"pri",
            description: c"page request interface, takes ats=on (default: off)",
            value: Value::Bool {
                get: |properties| properties.0.pri,
                set: |properties, value| properties.0.pri = value,
            },
        },
    ];

    fn new(Properties(config): &Properties) -> Result<(Self, Function), Error> {
        if config.pri && !config.ats {
            // PCIe spec, 10.4: a page request asks for what a translation request has not found.
            return Err(Error::new("pri=on takes ats=on"));
        }
        let bar = |(number, name, region)| Bar {
            number: number as u8,
            name,
            size: model::Device::size(config, region),
        };
        let function = Function {
            bars: BARS.map(bar).to_vec(),
            msix: Some(Msix {
                bar: pci::BAR_MSIX as u8,
                vectors: pci::vector_of(config.adis),
            }),
            pasid_bits: config.pasid_bits,
            ats: config.ats,
            pri: config.pri.then_some(PAGE_REQUESTS),
        };
        Ok((Self(model::Device::new(*config)), function))
    }

    fn reset(&mut self, host: &Host) {
        self.0.reset(&mut Machine(host));
    }

    fn read(&mut self, bar: u8, at: u64, size: u32, host: &Host) -> u64 {
        region(bar).map_or(0, |region| self.0.read(region, at, size, &Machine(host)))
    }

    fn write(&mut self, bar: u8, at: u64, size: u32, value: u64, host: &Host) {
        if let Some(region) = region(bar) {
            self.0.write(region, at, size, value, &mut Machine(host));
        }
    }

    fn run(&mut self, host: &Host) {
        self.0.run(&mut Machine(host));
    }
}

/// QEMU's machine as the model sees it.
struct Machine<'a>(&'a Host);

fn reason(error: DmaError) -> FaultReason {
    match error {
        DmaError::Blocked => FaultReason::Blocked,
        DmaError::BusMasterOff => FaultReason::BusMasterOff,
        DmaError::PasidOff => FaultReason::PasidOff,
        DmaError::PasidUnsupported => FaultReason::PasidUnsupported,
    }
}

impl model::Host for Machine<'_> {
    fn read(
        &mut self,
        pasid: Option<Pasid>,
        from: Iova,
        into: &mut [u8],
    ) -> Result<(), FaultReason> {
        self.0.read(pasid, from, into).map_err(reason)
    }

    fn write(&mut self, pasid: Option<Pasid>, to: Iova, data: &[u8]) -> Result<(), FaultReason> {
        self.0.write(pasid, to, data).map_err(reason)
    }

    fn translate(
        &mut self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Translation, FaultReason> {
        let translation = self.0.translate(pasid, address, write).map_err(reason)?;
        Ok(Translation {
            page: translation.page,
            writable: translation.writable,
        })
    }

    fn take_invalidation(&mut self) -> Option<Invalidation> {
        let invalidation = self.0.take_invalidation()?;
        Some(Invalidation {
            pasid: invalidation.pasid,
            range: invalidation.range,
        })
    }

    fn read_translated(&mut self, from: PhysAddr, into: &mut [u8]) -> Result<(), FaultReason> {
        self.0.read_translated(from, into).map_err(reason)
    }

    fn write_translated(&mut self, to: PhysAddr, data: &[u8]) -> Result<(), FaultReason> {
        self.0.write_translated(to, data).map_err(reason)
    }

    fn interrupt(&mut self, vector: u32) {
        self.0.interrupt(vector);
    }

    fn now(&self) -> u64 {
        self.0.now()
    }

    fn wake(&mut self, at: Option<u64>) {
        self.0.wake(at);
    }

    fn enabled(&self) -> Status {
        let enabled = self.0.enabled();
        let mut status = Status::empty();
        status.set(Status::BUS_MASTER, enabled.bus_master);
        status.set(Status::PASID, enabled.pasid);
        status.set(Status::ATS, enabled.ats);
        status.set(Status::PRI, enabled.pri);
        status
    }
}
