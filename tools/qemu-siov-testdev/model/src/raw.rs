// SPDX-License-Identifier: GPL-2.0

//! Raw accesses: any address, any PASID, for privileged tests of the IOMMU.

use siov_testdev_regs::global::{offset, RawCommand, RawStatus};
use siov_testdev_regs::FaultReason;
use siov_types::{Iova, Pasid, PAGE_SIZE};

use crate::host::Host;
use crate::register::{half, set_half, wide};
use crate::requester::Requester;

/// The raw registers of the global page.
#[derive(Debug)]
pub(crate) struct Raw {
    address: u64,
    data: u64,
    pasid: u32,
    status: RawStatus,
    waiting: Option<RawCommand>,
}

impl Raw {
    pub(crate) fn new() -> Self {
        Self {
            address: 0,
            data: 0,
            pasid: 0,
            status: RawStatus::IDLE,
            waiting: None,
        }
    }

    /// Whether an access waits to be sent.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(crate) fn read(&self, at: u64) -> u32 {
        match at {
            offset::RAW_PASID => self.pasid,
            offset::RAW_STATUS => self.status.raw(),
            _ => match wide(at) {
                offset::RAW_ADDRESS => half(at, self.address),
                offset::RAW_DATA => half(at, self.data),
                _ => 0,
            },
        }
    }

    pub(crate) fn write(&mut self, at: u64, value: u32) {
        if self.is_waiting() {
            return;
        }
        match at {
            offset::RAW_PASID => self.pasid = value & (Pasid::COUNT - 1),
            offset::RAW_COMMAND => {
                self.waiting = Some(RawCommand::from_bits_retain(value));
                self.status = RawStatus::BUSY;
            }
            _ => match wide(at) {
                offset::RAW_ADDRESS => set_half(at, &mut self.address, value),
                offset::RAW_DATA => set_half(at, &mut self.data, value),
                _ => {}
            },
        }
    }

    /// Sends the access that waits.
    pub(crate) fn run<H: Host + ?Sized>(&mut self, requester: &mut Requester<'_, H>) {
        if let Some(command) = self.waiting.take() {
            self.status = match self.access(command, requester) {
                Ok(()) => RawStatus::DONE,
                Err(reason) => RawStatus::failed(reason),
            };
        }
    }

    fn access<H: Host + ?Sized>(
        &mut self,
        command: RawCommand,
        requester: &mut Requester<'_, H>,
    ) -> Result<(), FaultReason> {
        let length = usize::from(command.bytes());
        let in_page = self.address % PAGE_SIZE;
        if !matches!(length, 1 | 2 | 4 | 8) || in_page + length as u64 > PAGE_SIZE {
            return Err(FaultReason::Blocked);
        }
        let pasid = Pasid::new(self.pasid).filter(|_| command.contains(RawCommand::TAGGED));
        let address = Iova::new(self.address);
        let mut data = self.data.to_le_bytes();
        if command.contains(RawCommand::WRITE) {
            return requester.write(pasid, address, &data[..length]);
        }
        data = [0; 8];
        requester.read(pasid, address, &mut data[..length])?;
        self.data = u64::from_le_bytes(data);
        Ok(())
    }
}
