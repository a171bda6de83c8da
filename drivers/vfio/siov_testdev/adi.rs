// SPDX-License-Identifier: GPL-2.0

//! An ADI as its user sees it: a PCI function with the ADI's page of registers, two message
//! interrupts, and a region with the record of faults.

use crate::engine::Engine;
use crate::events::{Completions, Event, Events, IommuFaults};
use crate::parent::Parent;
use kernel::device::Bound;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use linux::mmio::RegisterPages;
use linux::pci::driver::Interrupt;
use linux_aux::{auxiliary_id, FaultHandler};
use linux_mdev::iommu_domain;
use linux_vfio::device::{Device, Handle, Interrupts, Region, RegionKind, SetInterrupts};
use siov_testdev_regs::{fault_region, pci};
use siov_types::Pasid;
use siov_vpci::{command, Config, Identity, Msix, MsixTable};

/// Regions: those of a PCI device (`include/uapi/linux/vfio.h`), and one more.
mod region {
    /// The ADI's user page.
    pub(super) const USER: u32 = 0;
    /// Table and pending bits of MSI-X.
    pub(super) const MSIX: u32 = 1;
    /// `VFIO_PCI_CONFIG_REGION_INDEX`.
    pub(super) const CONFIG: u32 = 7;
    /// The first one after `VFIO_PCI_VGA_REGION_INDEX`.
    pub(super) const FAULTS: u32 = 9;
    pub(super) const COUNT: u32 = 10;
}

/// Indices of interrupts (`include/uapi/linux/vfio.h`).
mod irq {
    /// `VFIO_PCI_MSIX_IRQ_INDEX`.
    pub(super) const MSIX: u32 = 2;
    /// `VFIO_PCI_ERR_IRQ_INDEX`.
    pub(super) const ERROR: u32 = 3;
    /// `VFIO_PCI_REQ_IRQ_INDEX`.
    pub(super) const REQUEST: u32 = 4;
    pub(super) const COUNT: u32 = 5;
}

/// `VFIO_DEVICE_FLAGS_PCI`.
const FLAGS_PCI: u32 = 1 << 1;

/// Device id of the user's function: the device itself has [`pci::DEVICE_ID`].
const DEVICE_ID: u16 = 0x5110;

const MSIX_VECTORS: u16 = 2;
const MSIX_TABLE_BYTES: usize = MSIX_VECTORS as usize * 16;
const MSIX_PENDING: u32 = 0x800;

/// The user's function in software: what it holds is what the user has written.
struct Virtual {
    config: Config,
    msix: MsixTable<MSIX_TABLE_BYTES>,
}

impl Virtual {
    fn new() -> Self {
        let identity = Identity {
            vendor: pci::VENDOR_ID,
            device: DEVICE_ID,
            revision: pci::REVISION,
            class: pci::CLASS,
        };
        let msix = Msix {
            vectors: MSIX_VECTORS,
            bar: region::MSIX as u8,
            table: 0,
            pending: MSIX_PENDING,
        };
        let page = pci::PAGE_SIZE as u32;
        Self {
            config: Config::new(identity, [page, page, 0, 0, 0, 0], msix),
            msix: MsixTable::new(),
        }
    }
}

/// What an ADI of the hardware has while it is open.
struct Open {
    pasid: Pasid,
    // Only where the IOMMU's driver reports faults.
    _faults: Option<Pin<KBox<FaultHandler<IommuFaults>>>>,
    _completions: Interrupt<Completions>,
}

#[pin_data]
pub(crate) struct Adi {
    engine: Engine,
    parent: Arc<Parent>,
    events: Arc<Events>,
    #[pin]
    open: Mutex<Option<Open>>,
    #[pin]
    state: Mutex<Virtual>,
}

impl Adi {
    pub(crate) fn new(
        parent: Arc<Parent>,
        events: Arc<Events>,
        engine: Engine,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            engine,
            parent,
            events,
            open <- new_mutex!(None, "siov_testdev_open"),
            state <- new_mutex!(Virtual::new(), "siov_testdev_config"),
        })
    }

    /// Finds the PASID, and registers handlers for the ADI `number` and for faults of the IOMMU.
    fn open_isolated(&self, number: u32, user: Handle<'_>) -> Result<Open> {
        let open = || {
            let domain = iommu_domain(user)?;
            let pasid = auxiliary_id(domain)?;
            let faults = IommuFaults(self.events.clone());
            let completions = Completions(self.events.clone());
            Ok(Open {
                pasid,
                // An IOMMU driver that does not report faults is no reason to refuse the device.
                _faults: FaultHandler::new(domain, &self.parent.dev, faults).ok(),
                _completions: Interrupt::new(
                    &self.parent.vectors,
                    pci::vector_of(number),
                    Arc::new(completions, GFP_KERNEL)?,
                    c"siov_testdev-adi",
                )?,
            })
        };
        open().inspect_err(|e: &Error| {
            // Users may try again and again.
            if self.parent.refusals.allows() {
                dev_err!(
                    user.dev(),
                    "siov_testdev: open failed ({}): no auxiliary domain; is the stock vfio_iommu_type1 loaded?\n",
                    e.to_errno()
                );
            }
        })
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        let mut state = self.state.lock();
        let before = state.config.command();
        state.config.write(offset as usize, data);
        let now = state.config.command();
        if (before ^ now) & command::MASTER != 0 {
            self.engine.set_enabled(now & command::MASTER != 0);
        }
    }
}

impl Device for Adi {
    const NAME: &'static CStr = c"siov_testdev";
    const FLAGS: u32 = FLAGS_PCI;
    const REGIONS: u32 = region::COUNT;
    const INTERRUPTS: u32 = irq::COUNT;
    /// For ADIs in software, enough for a copy of 128 KiB to find its pages again.
    const PINNED_PAGES: usize = 64;

    fn open(&self, user: Handle<'_>) -> Result {
        let open = self
            .engine
            .number()
            .map(|number| self.open_isolated(number, user))
            .transpose()?;
        *self.state.lock() = Virtual::new();
        self.engine
            .prepare(open.as_ref().map(|open| open.pasid), &self.events)?;
        *self.open.lock() = open;
        Ok(())
    }

    fn close(&self, _: Handle<'_>) {
        self.engine.stop();
        let open = self.open.lock().take();
        drop(open);
        self.events.clear();
    }

    fn region(&self, index: u32) -> Region {
        let registers = Region {
            size: pci::PAGE_SIZE,
            read: true,
            write: true,
            mmap: false,
            kind: RegionKind::Indexed,
        };
        match index {
            region::USER => Region {
                // The doorbells of an ADI in software have to reach it.
                mmap: self.engine.number().is_some(),
                ..registers
            },
            region::MSIX => registers,
            region::CONFIG => Region {
                size: siov_vpci::BYTES as u64,
                ..registers
            },
            region::FAULTS => Region {
                size: fault_region::BYTES as u64,
                write: false,
                kind: RegionKind::Typed {
                    ty: fault_region::TYPE,
                    subtype: fault_region::SUBTYPE,
                },
                ..registers
            },
            _ => Region::NONE,
        }
    }

    fn read(&self, _: Handle<'_>, index: u32, offset: u64, data: &mut [u8]) -> Result {
        match index {
            region::USER => self.engine.read(offset, data)?,
            region::MSIX => self.state.lock().msix.read(offset as usize, data),
            region::CONFIG => self.state.lock().config.read(offset as usize, data),
            region::FAULTS => self.events.read_log(offset as usize, data),
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    fn write(&self, user: Handle<'_>, index: u32, offset: u64, data: &[u8]) -> Result {
        match index {
            region::USER => self.engine.write(offset, data, user, &self.events)?,
            region::MSIX => self.state.lock().msix.write(offset as usize, data),
            region::CONFIG => self.write_config(offset, data),
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    fn map(&self, index: u32) -> Result<RegisterPages<'_>> {
        match index {
            region::USER => self.engine.user_page(),
            _ => Err(EINVAL),
        }
    }

    fn interrupts(&self, index: u32) -> Interrupts {
        let count = match index {
            irq::MSIX => MSIX_VECTORS.into(),
            irq::ERROR | irq::REQUEST => 1,
            _ => 0,
        };
        Interrupts {
            count,
            fixed: matches!(index, irq::ERROR | irq::REQUEST),
        }
    }

    fn set_interrupts(&self, index: u32, start: u32, what: SetInterrupts<'_>) -> Result {
        let events: &[Event] = match index {
            irq::MSIX => &[Event::Fault, Event::Completion],
            irq::ERROR => &[Event::Error],
            irq::REQUEST => &[Event::Request],
            _ => return Err(EINVAL),
        };
        let chosen = events.iter().skip(start as usize);
        match what {
            SetInterrupts::Trigger(eventfds) => {
                for (event, eventfd) in chosen.zip(eventfds) {
                    self.events.set(*event, eventfd);
                }
            }
            SetInterrupts::Disable => events
                .iter()
                .for_each(|event| self.events.set(*event, None)),
            SetInterrupts::Loopback(fire) => {
                for (event, fire) in chosen.zip(fire) {
                    if *fire {
                        self.events.signal(*event);
                    }
                }
            }
        }
        Ok(())
    }

    fn reset(&self, _: Handle<'_>) -> Result {
        let open = self.open.lock();
        // With this lock held, bus mastering is not switched on before the ADI has its PASID, which
        // it takes only while it is off.
        let mut state = self.state.lock();
        self.engine.stop();
        *state = Virtual::new();
        self.engine
            .prepare(open.as_ref().map(|open| open.pasid), &self.events)
    }

    fn request(&self, dev: &kernel::device::Device<Bound>, count: u32) {
        let signalled = self.events.signal(Event::Request);
        if count == 0 {
            dev_info!(
                dev,
                "siov_testdev: waiting for userspace to release the device (request eventfd {})\n",
                if signalled { "signalled" } else { "not set" }
            );
        }
    }
}
