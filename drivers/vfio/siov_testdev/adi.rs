// SPDX-License-Identifier: GPL-2.0

//! An ADI as its user sees it: a PCI function with the ADI's page of registers, two message
//! interrupts, and a region that tells of faults.

use crate::engine::Engine;
use crate::events::{Blocked, Completions, Event, Events};
use crate::types::Parent;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use linux::pci::driver::Interrupt;
use linux_aux::{auxiliary_id, FaultHandler};
use linux_mdev::Mdev;
use linux_vfio::device::{Device, Handle, Interrupts, Region, RegionKind, SetInterrupts};
use linux_vfio::eventfd::EventFd;
use siov_testdev_regs::{fault_region, pci};
use siov_types::{Pasid, PhysAddr};
use siov_vpci::{command, Config, Identity, Msix, MsixTable};

/// Regions: those of a PCI device (`include/uapi/linux/vfio.h`), and one more.
mod region {
    /// The ADI's user page.
    pub(super) const USER: u32 = 0;
    /// Table and pending bits of MSI-X.
    pub(super) const MSIX: u32 = 1;
    /// `VFIO_PCI_CONFIG_REGION_INDEX`.
    pub(super) const CONFIG: u32 = 7;
    /// Behind `VFIO_PCI_VGA_REGION_INDEX`.
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

/// What the user's function is: the device itself has [`pci::DEVICE_ID`].
const DEVICE_ID: u16 = 0x5110;

const MSIX_VECTORS: u16 = 2;
const MSIX_TABLE_BYTES: usize = MSIX_VECTORS as usize * 16;
const MSIX_PENDING: u32 = 0x800;

/// What the user has written.
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
    // Only where the IOMMU's driver tells of faults.
    _blocked: Option<Pin<KBox<FaultHandler<Blocked>>>>,
    _completions: Interrupt<Completions>,
}

#[pin_data]
pub(crate) struct Adi {
    engine: Engine,
    parent: Arc<Parent>,
    mdev: Mdev,
    events: Arc<Events>,
    #[pin]
    open: Mutex<Option<Open>>,
    #[pin]
    state: Mutex<Virtual>,
}

impl Adi {
    pub(crate) fn new(
        parent: Arc<Parent>,
        mdev: Mdev,
        events: Arc<Events>,
        engine: Engine,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            engine,
            parent,
            mdev,
            events,
            open <- new_mutex!(None, "siov_testdev_open"),
            state <- new_mutex!(Virtual::new(), "siov_testdev_config"),
        })
    }

    /// Finds the PASID, and listens to the ADI `number` and the IOMMU.
    fn open_isolated(&self, number: u32) -> Result<Open> {
        let opened = self.mdev.with_domain(|domain| {
            let pasid = auxiliary_id(domain)?;
            let blocked = Blocked(self.events.clone());
            let completions = Completions(self.events.clone());
            Ok(Open {
                pasid,
                // An IOMMU driver that tells nobody is no reason to refuse the device.
                _blocked: FaultHandler::new(domain, &self.parent.dev, blocked).ok(),
                _completions: Interrupt::new(
                    &self.parent.vectors,
                    pci::vector_of(number),
                    Arc::new(completions, GFP_KERNEL)?,
                    c"siov_testdev-adi",
                )?,
            })
        });
        opened.inspect_err(|e| {
            // Users may try again and again.
            if self.parent.refusals.allows() {
                dev_err!(
                    self.mdev.dev(),
                    "siov_testdev: not opened (error {}): it needs a domain of its own\n",
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

    fn open(&self, _: Handle<'_>) -> Result {
        let open = self
            .engine
            .number()
            .map(|number| self.open_isolated(number))
            .transpose()?;
        *self.state.lock() = Virtual::new();
        self.engine
            .prepare(open.as_ref().map(|open| open.pasid), &self.events);
        *self.open.lock() = open;
        Ok(())
    }

    fn close(&self, _: Handle<'_>) {
        self.engine.stop();
        let open = self.open.lock().take();
        drop(open);
        self.events.silence();
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
                // Doorbells of an ADI in software must be heard.
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

    fn map(&self, index: u32) -> Result<PhysAddr> {
        let number = self.engine.number().filter(|_| index == region::USER);
        let page = pci::user_page(number.ok_or(EINVAL)?);
        self.parent.user_pages.checked_add(page).ok_or(EINVAL)
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
            SetInterrupts::Trigger(fds) => {
                // All of them, before one takes effect.
                let mut eventfds = KVec::with_capacity(fds.len(), GFP_KERNEL)?;
                for fd in fds {
                    let eventfd = (*fd >= 0).then(|| EventFd::get(*fd)).transpose()?;
                    eventfds.push(eventfd, GFP_KERNEL)?;
                }
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
        // Nobody switches bus mastering on before the ADI has its PASID, which it takes only while it is off.
        let mut state = self.state.lock();
        self.engine.stop();
        *state = Virtual::new();
        self.engine
            .prepare(open.as_ref().map(|open| open.pasid), &self.events);
        Ok(())
    }

    fn request(&self, count: u32) {
        let heard = self.events.signal(Event::Request);
        if count == 0 {
            dev_info!(
                self.mdev.dev(),
                "siov_testdev: waiting for its user, who {}\n",
                if heard {
                    "was asked"
                } else {
                    "cannot be asked"
                }
            );
        }
    }
}
