// SPDX-License-Identifier: GPL-2.0

//! What does the work of a mediated device: an ADI of the hardware, or one in software for where
//! the IOMMU cannot isolate it.

use crate::events::{Event, Events};
use crate::hardware::{Hardware, HardwareAdi, MediatedSlot};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use linux::mmio::RegisterPages;
use linux_vfio::device::Handle;
use siov_testdev_regs::execute::{self, Fault, SoftAdi};
use siov_testdev_regs::fault_region::Record;
use siov_testdev_regs::{Descriptor, FaultReason, FaultStatus};
use siov_types::{Iova, Pasid};

pub(crate) enum Engine {
    Isolated(HardwareAdi),
    Mediated(MediatedAdi),
}

/// An ADI in software.
pub(crate) struct MediatedAdi {
    adi: Pin<KBox<Mutex<SoftAdi>>>,
    _slot: MediatedSlot,
}

impl Engine {
    /// A free ADI of the hardware, whose faults go to `events`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when none is free.
    pub(crate) fn isolated(hardware: &Arc<Hardware>, events: &Arc<Events>) -> Result<Self> {
        Ok(Self::Isolated(HardwareAdi::allocate(hardware, events)?))
    }

    /// One in software.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are as many as the hardware has.
    pub(crate) fn mediated(hardware: &Arc<Hardware>) -> Result<Self> {
        let adi = new_mutex!(SoftAdi::new(), "siov_testdev_soft");
        Ok(Self::Mediated(MediatedAdi {
            adi: KBox::pin_init(adi, GFP_KERNEL)?,
            _slot: MediatedSlot::allocate(hardware)?,
        }))
    }

    /// The number of the ADI of the hardware.
    pub(crate) fn number(&self) -> Option<u32> {
        match self {
            Self::Isolated(adi) => Some(adi.number()),
            Self::Mediated(_) => None,
        }
    }

    /// The user page of the ADI of the hardware, for users to map.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an ADI in software.
    pub(crate) fn user_page(&self) -> Result<RegisterPages<'_>> {
        match self {
            Self::Isolated(adi) => adi.user_page(),
            Self::Mediated(_) => Err(EINVAL),
        }
    }

    /// Resets the ADI to its state after power-on, and clears its faults; it takes no work yet. An
    /// ADI of the hardware needs a PASID.
    ///
    /// # Errors
    ///
    /// `EIO` while the device of an ADI of the hardware is being reset, or does not answer.
    pub(crate) fn prepare(&self, pasid: Option<Pasid>, events: &Events) -> Result {
        match (self, pasid) {
            (Self::Isolated(adi), Some(pasid)) => adi.prepare(pasid)?,
            (Self::Isolated(adi), None) => adi.stop(),
            (Self::Mediated(soft), _) => {
                *soft.adi.lock() = SoftAdi::new();
                events.clear_faults();
            }
        }
        Ok(())
    }

    /// Lets it take work, or not.
    pub(crate) fn set_enabled(&self, on: bool) {
        match self {
            Self::Isolated(adi) => adi.set_enabled(on),
            Self::Mediated(soft) => soft.adi.lock().set_enabled(on),
        }
    }

    /// Ends all work: on return no memory is accessed.
    pub(crate) fn stop(&self) {
        match self {
            Self::Isolated(adi) => adi.stop(),
            // Its work is done in the writes of its user, of which none is under way.
            Self::Mediated(soft) => *soft.adi.lock() = SoftAdi::new(),
        }
    }

    /// Reads the user page: 4 or 8 bytes, aligned to that.
    ///
    /// # Errors
    ///
    /// `EINVAL` for other lengths.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) -> Result {
        match self {
            Self::Isolated(adi) => adi.read_user(offset, data),
            Self::Mediated(soft) => {
                if !matches!(data.len(), 4 | 8) {
                    return Err(EINVAL);
                }
                soft.adi.lock().read(offset, data);
                Ok(())
            }
        }
    }

    /// Writes the user page: 4 or 8 bytes, aligned to that. In software, does the work at once.
    ///
    /// # Errors
    ///
    /// `EINVAL` for other lengths.
    pub(crate) fn write(
        &self,
        offset: u64,
        data: &[u8],
        user: Handle<'_>,
        events: &Events,
    ) -> Result {
        let soft = match self {
            Self::Isolated(adi) => return adi.write_user(offset, data),
            Self::Mediated(soft) => soft,
        };
        if !matches!(data.len(), 4 | 8) {
            return Err(EINVAL);
        }
        let outcome = soft.adi.lock().write(offset, data, &mut Memory(user));
        if let Some(failed) = outcome.failed {
            let status = FaultStatus::new(FaultReason::Blocked, failed.source, failed.write, false);
            let record = Record::of_device(status, 0, failed.address.raw());
            events.fault(record, outcome.failures > 1);
        }
        if outcome.interrupt {
            events.signal(Event::Completion);
        }
        Ok(())
    }
}

/// Memory of a user, through the mappings of the container. What is used once, a descriptor or a
/// record, is copied; what is worked on is pinned.
struct Memory<'a>(Handle<'a>);

/// Bytes up to which copying is the lesser work.
const SMALL: usize = Descriptor::BYTES;

impl execute::Memory for Memory<'_> {
    fn read(&mut self, at: Iova, data: &mut [u8]) -> Result<(), Fault> {
        let read = match data.len() {
            ..=SMALL => self.0.read_memory(at, data),
            _ => self.0.read_pinned(at, data),
        };
        read.map_err(|_| Fault)
    }

    fn write(&mut self, at: Iova, data: &[u8]) -> Result<(), Fault> {
        let written = match data.len() {
            ..=SMALL => self.0.write_memory(at, data),
            _ => self.0.write_pinned(at, data),
        };
        written.map_err(|_| Fault)
    }
}
