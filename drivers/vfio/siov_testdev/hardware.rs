// SPDX-License-Identifier: GPL-2.0

//! The device: its pages of registers, and which of its ADIs are allocated.

use crate::events::Events;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use linux::mmio::{RegisterPages, Registers};
use linux::pci::driver::{Function, Loss};
use linux::pci::DeviceExt;
use linux::poll;
use siov_testdev_regs::fault_region::Record;
use siov_testdev_regs::global::{self, Control};
use siov_testdev_regs::privileged::{self, Command, PasidControl, Status};
use siov_testdev_regs::{pci, FaultStatus};
use siov_types::Pasid;

/// How long an ADI may take to end the descriptor under way, in milliseconds.
const DRAIN_MS: u32 = 100;

#[pin_data]
pub(crate) struct Hardware {
    privileged: Registers,
    user: Registers,
    adis: u32,
    /// Number of ADIs in software.
    mediated: AtomicU32,
    #[pin]
    users: Mutex<Users>,
}

/// Who uses the ADIs.
struct Users {
    /// `None` for an ADI that is free.
    list: KVec<Option<User>>,
    /// The device is being reset, or does not answer.
    lost: bool,
}

/// The user of an ADI.
struct User {
    /// Where its faults go.
    events: Arc<Events>,
    /// The device has lost the ADI's state since it was prepared.
    lost: bool,
}

impl Hardware {
    /// Maps the registers of the device, and resets it.
    ///
    /// # Errors
    ///
    /// `ENODEV` for a device of another kind or major version, and those of mapping.
    pub(crate) fn new(function: &Function<'_>) -> Result<Arc<Self>> {
        let privileged = function.map_bar(pci::BAR_PRIVILEGED, c"siov_testdev")?;
        let user = function.map_bar(pci::BAR_USER, c"siov_testdev")?;
        let (id, version) = (
            privileged.read32(global::offset::ID as usize),
            privileged.read32(global::offset::VERSION as usize),
        );
        if id != global::ID || version >> 16 != global::VERSION >> 16 {
            dev_err!(
                function.as_dev(),
                "identification {id:#x}, version {version:#x}: not understood\n"
            );
            return Err(ENODEV);
        }
        reset(&privileged);
        let adis = privileged
            .read32(global::offset::ADI_COUNT as usize)
            .min(pci::MAX_ADIS);
        let mut users = KVec::with_capacity(adis as usize, GFP_KERNEL)?;
        for _ in 0..adis {
            users.push(None, GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                privileged,
                user,
                adis,
                mediated: AtomicU32::new(0),
                users <- new_mutex!(Users { list: users, lost: false }, "siov_testdev_users"),
            }),
            GFP_KERNEL,
        )
    }

    /// Number of ADIs.
    pub(crate) fn adis(&self) -> u32 {
        self.adis
    }

    /// Number of ADIs that are free.
    pub(crate) fn free(&self) -> u32 {
        let users = self.users.lock();
        users.list.iter().filter(|u| u.is_none()).count() as u32
    }

    /// Number of ADIs in software that can be made: at most as many as the device has in hardware.
    pub(crate) fn free_mediated(&self) -> u32 {
        self.adis
            .saturating_sub(self.mediated.load(Ordering::Relaxed))
    }

    /// Lets faults raise the error vector.
    pub(crate) fn report_faults(&self) {
        let control = Control::ERROR_INTERRUPT.bits();
        self.privileged
            .write32(global::offset::CONTROL as usize, control);
    }

    /// Takes the faults out of all ADIs that hold one, and passes them to their users, and to `f`.
    ///
    /// The users are locked meanwhile, so that no fault of a user is reported to the next one: see
    /// [`HardwareAdi::prepare`].
    pub(crate) fn drain_faults(&self, mut f: impl FnMut(u32, &Record)) {
        let users = self.users.lock();
        // A device that is gone reads as all ones, and so do 64 ADIs that all hold a fault.
        if self.privileged.read32(global::offset::ID as usize) != global::ID {
            return;
        }
        for word in 0..pci::MAX_ADIS / 64 {
            let at = global::offset::FAULT_PENDING as usize + word as usize * 8;
            let mut pending = self.privileged.read64(at);
            while pending != 0 {
                let adi = word * 64 + pending.trailing_zeros();
                // Clears the lowest bit.
                pending &= pending - 1;
                let Some((record, more)) = self.take_fault(adi) else {
                    continue;
                };
                f(adi, &record);
                if let Some(Some(user)) = users.list.get(adi as usize) {
                    user.events.fault(record, more);
                }
            }
        }
    }

    /// The device is about to lose its state: no ADI is given a PASID any more. After an error its
    /// users are told at once, since it may be that nothing follows; before sleep all work ends.
    pub(crate) fn quiesce(&self, loss: Loss) {
        let mut users = self.users.lock();
        users.lost = true;
        for user in users.list.iter_mut().flatten() {
            user.lost = true;
            if loss == Loss::Error {
                user.events.error();
            }
        }
        if loss == Loss::Sleep {
            reset(&self.privileged);
        }
    }

    /// Brings the device into the state after power-on, whatever state it is in. Faults are
    /// reported, and its users are told that their ADIs have to be reset.
    ///
    /// # Errors
    ///
    /// `EIO` when it does not answer.
    pub(crate) fn restore(&self) -> Result {
        if self.privileged.read32(global::offset::ID as usize) != global::ID {
            return Err(EIO);
        }
        let mut users = self.users.lock();
        reset(&self.privileged);
        self.report_faults();
        users.lost = false;
        for user in users.list.iter().flatten() {
            user.events.error();
        }
        Ok(())
    }

    fn take_fault(&self, adi: u32) -> Option<(Record, bool)> {
        use privileged::offset::{FAULT_ADDRESS, FAULT_PASID, FAULT_STATUS};
        let page = pci::privileged_page(adi);
        let status = FaultStatus::from_raw(self.read(adi, FAULT_STATUS));
        if !status.is_valid() {
            return None;
        }
        let pasid = self.read(adi, FAULT_PASID);
        let address = self.privileged.read64((page + FAULT_ADDRESS) as usize);
        self.write(adi, FAULT_STATUS, FaultStatus::VALID);
        let record = Record::of_device(status, pasid, address);
        Some((record, status.is_overflow()))
    }

    fn read(&self, adi: u32, offset: u64) -> u32 {
        self.privileged
            .read32((pci::privileged_page(adi) + offset) as usize)
    }

    fn write(&self, adi: u32, offset: u64, value: u32) {
        self.privileged
            .write32((pci::privileged_page(adi) + offset) as usize, value);
    }
}

/// Ends all work of the device at once, and brings it into the state after power-on.
fn reset(privileged: &Registers) {
    privileged.write32(global::offset::CONTROL as usize, Control::RESET.bits());
    // Writes to a PCI function are posted: it has seen them when it answers.
    privileged.read32(global::offset::ID as usize);
}

/// The right to have an ADI in software, until this is dropped.
pub(crate) struct MediatedSlot(Arc<Hardware>);

impl MediatedSlot {
    /// Takes one.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are as many as the device has in hardware.
    pub(crate) fn allocate(hardware: &Arc<Hardware>) -> Result<Self> {
        hardware
            .mediated
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < hardware.adis).then(|| n + 1)
            })
            .map_err(|_| ENOSPC)?;
        Ok(Self(hardware.clone()))
    }
}

impl Drop for MediatedSlot {
    fn drop(&mut self) {
        let freed = self
            .0
            .mediated
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        kernel::warn_on!(freed.is_err());
    }
}

/// An ADI of the hardware that is ours until this is dropped.
pub(crate) struct HardwareAdi {
    hardware: Arc<Hardware>,
    adi: u32,
}

impl HardwareAdi {
    /// Allocates a free ADI, whose faults go to `events`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when none is free.
    pub(crate) fn allocate(hardware: &Arc<Hardware>, events: &Arc<Events>) -> Result<Self> {
        let mut users = hardware.users.lock();
        let (adi, user) = (0..)
            .zip(users.list.iter_mut())
            .find(|(_, user)| user.is_none())
            .ok_or(ENOSPC)?;
        *user = Some(User {
            events: events.clone(),
            lost: false,
        });
        Ok(Self {
            hardware: hardware.clone(),
            adi,
        })
    }

    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        self.adi
    }

    fn command(&self, command: Command) {
        self.hardware
            .write(self.adi, privileged::offset::COMMAND, command as u32);
    }

    fn status(&self) -> Status {
        Status::from_bits_retain(self.hardware.read(self.adi, privileged::offset::STATUS))
    }

    /// Resets the ADI to its state after power-on, with requests that carry `pasid`. It takes no
    /// work yet, and faults from before are cleared.
    ///
    /// # Errors
    ///
    /// `EIO` while the device is being reset, or does not answer.
    pub(crate) fn prepare(&self, pasid: Pasid) -> Result {
        let mut users = self.hardware.users.lock();
        if users.lost {
            return Err(EIO);
        }
        self.command(Command::Reset);
        if let Some(Some(user)) = users.list.get_mut(self.adi as usize) {
            user.events.clear_faults();
            user.lost = false;
        }
        let pasid = PasidControl::new(Some(pasid)).raw();
        self.hardware
            .write(self.adi, privileged::offset::PASID, pasid);
        Ok(())
    }

    /// Lets the ADI take work, or not. One whose state was lost takes none until it is prepared.
    pub(crate) fn set_enabled(&self, on: bool) {
        let users = self.hardware.users.lock();
        let lost = match users.list.get(self.adi as usize) {
            Some(Some(user)) => user.lost,
            _ => true,
        };
        let control = if on && !lost {
            privileged::Control::ENABLE
        } else {
            privileged::Control::empty()
        };
        self.hardware
            .write(self.adi, privileged::offset::CONTROL, control.bits());
    }

    /// Ends all work, in good order if that takes no time: on return the ADI sends no request, and
    /// has no PASID.
    pub(crate) fn stop(&self) {
        self.command(Command::Drain);
        // A device that is gone reads as all ones.
        let drained = poll::wait_for(DRAIN_MS, || {
            let status = self.status();
            !status.contains(Status::DRAINING) || status.bits() == u32::MAX
        });
        if !drained {
            self.command(Command::Abort);
        }
        self.command(Command::Reset);
        // Writes to a PCI function are posted: it has seen them when it answers.
        let _ = self.status();
    }

    /// The user page, for its user to map.
    ///
    /// # Errors
    ///
    /// `EINVAL` when firmware made the BAR too small.
    pub(crate) fn user_page(&self) -> Result<RegisterPages<'_>> {
        self.hardware
            .user
            .pages(pci::user_page(self.adi), pci::PAGE_SIZE)
    }

    /// Reads the user page: 4 or 8 bytes, aligned to that.
    ///
    /// # Errors
    ///
    /// `EINVAL` for other lengths.
    pub(crate) fn read_user(&self, offset: u64, data: &mut [u8]) -> Result {
        let at = (pci::user_page(self.adi) + offset) as usize;
        match data.len() {
            4 => data.copy_from_slice(&self.hardware.user.read32(at).to_le_bytes()),
            8 => data.copy_from_slice(&self.hardware.user.read64(at).to_le_bytes()),
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Writes the user page: 4 or 8 bytes, aligned to that.
    ///
    /// # Errors
    ///
    /// `EINVAL` for other lengths.
    pub(crate) fn write_user(&self, offset: u64, data: &[u8]) -> Result {
        let at = (pci::user_page(self.adi) + offset) as usize;
        match (data.first_chunk(), data.first_chunk()) {
            (Some(word), None) => self.hardware.user.write32(at, u32::from_le_bytes(*word)),
            (_, Some(word)) => self.hardware.user.write64(at, u64::from_le_bytes(*word)),
            (None, None) => return Err(EINVAL),
        }
        Ok(())
    }
}

impl Drop for HardwareAdi {
    fn drop(&mut self) {
        let mut users = self.hardware.users.lock();
        let slot = users.list.get_mut(self.adi as usize);
        let user = slot.and_then(Option::take);
        drop(users);
        kernel::warn_on!(user.is_none());
    }
}
