// SPDX-License-Identifier: GPL-2.0

//! A machine for the device to live in, and short ways to drive the two.
#![allow(missing_docs, dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use siov_testdev_model::{Config, Device, Host, Invalidation, Region, Translation};
use siov_testdev_regs::global::{self, Status};
use siov_testdev_regs::privileged::{self, Command, Control, PasidControl};
use siov_testdev_regs::{pci, user};
use siov_testdev_regs::{
    Completion, Descriptor, DescriptorFlags, FaultReason, FaultStatus, Opcode,
};
use siov_types::{Iova, Pasid, PhysAddr};

pub const PAGE: u64 = 4096;

/// A request as the machine saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    pub pasid: Option<Pasid>,
    pub address: u64,
    pub length: usize,
    pub write: bool,
}

/// Memory by address space; what is not mapped is blocked.
pub struct Machine {
    pages: BTreeMap<(Option<Pasid>, u64), Vec<u8>>,
    read_only: BTreeSet<(Option<Pasid>, u64)>,
    pub requests: Vec<Request>,
    pub interrupts: Vec<u32>,
    pub now: u64,
    pub wake: Option<u64>,
    pub enabled: Status,
    pub invalidations: Vec<Invalidation>,
    /// Translations handed out, whose number is the address, and whether they allow writes.
    translations: Vec<(Option<Pasid>, u64, bool)>,
}

impl Machine {
    fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            read_only: BTreeSet::new(),
            requests: Vec::new(),
            interrupts: Vec::new(),
            now: 0,
            wake: None,
            enabled: Status::BUS_MASTER | Status::PASID,
            invalidations: Vec::new(),
            translations: Vec::new(),
        }
    }

    pub fn map(&mut self, pasid: Option<Pasid>, address: u64, pages: u64) {
        for page in 0..pages {
            let key = (pasid, address / PAGE + page);
            self.pages
                .entry(key)
                .or_insert_with(|| vec![0; PAGE as usize]);
        }
    }

    pub fn map_read_only(&mut self, pasid: Option<Pasid>, address: u64) {
        self.map(pasid, address, 1);
        self.read_only.insert((pasid, address / PAGE));
    }

    pub fn unmap(&mut self, pasid: Option<Pasid>, address: u64) {
        self.pages.remove(&(pasid, address / PAGE));
    }

    pub fn put(&mut self, pasid: Option<Pasid>, address: u64, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let at = address + (data.len() - rest.len()) as u64;
            let page =
                &mut self.pages.get_mut(&(pasid, at / PAGE)).unwrap()[(at % PAGE) as usize..];
            let (now, later) = rest.split_at(rest.len().min(page.len()));
            page[..now.len()].copy_from_slice(now);
            rest = later;
        }
    }

    pub fn get(&self, pasid: Option<Pasid>, address: u64, length: usize) -> Vec<u8> {
        let mut data = Vec::new();
        while data.len() < length {
            let at = address + data.len() as u64;
            let page = &self.pages[&(pasid, at / PAGE)][(at % PAGE) as usize..];
            data.extend_from_slice(&page[..page.len().min(length - data.len())]);
        }
        data
    }

    /// All that is mapped, to see that nothing changed.
    pub fn snapshot(&self) -> BTreeMap<(Option<Pasid>, u64), Vec<u8>> {
        self.pages.clone()
    }

    pub fn translations(&self) -> usize {
        self.translations.len()
    }

    fn access(&mut self, request: Request) -> Result<&mut [u8], FaultReason> {
        let in_page = (request.address % PAGE) as usize;
        assert!(
            in_page + request.length <= PAGE as usize,
            "{request:?} crosses a page"
        );
        self.requests.push(request);
        if !self.enabled.contains(Status::BUS_MASTER) {
            return Err(FaultReason::BusMasterOff);
        }
        if request.pasid.is_some() && !self.enabled.contains(Status::PASID) {
            return Err(FaultReason::PasidOff);
        }
        let key = (request.pasid, request.address / PAGE);
        if request.write && self.read_only.contains(&key) {
            return Err(FaultReason::Blocked);
        }
        let page = self.pages.get_mut(&key).ok_or(FaultReason::Blocked)?;
        Ok(&mut page[in_page..in_page + request.length])
    }

    fn untranslate(&self, address: PhysAddr) -> (Option<Pasid>, u64) {
        let (pasid, page, _) = self.translations[(address.raw() / PAGE) as usize];
        (pasid, page * PAGE + address.raw() % PAGE)
    }
}

impl Host for Machine {
    fn read(
        &mut self,
        pasid: Option<Pasid>,
        from: Iova,
        into: &mut [u8],
    ) -> Result<(), FaultReason> {
        let request = Request {
            pasid,
            address: from.raw(),
            length: into.len(),
            write: false,
        };
        into.copy_from_slice(self.access(request)?);
        Ok(())
    }

    fn write(&mut self, pasid: Option<Pasid>, to: Iova, data: &[u8]) -> Result<(), FaultReason> {
        let request = Request {
            pasid,
            address: to.raw(),
            length: data.len(),
            write: true,
        };
        self.access(request)?.copy_from_slice(data);
        Ok(())
    }

    fn translate(
        &mut self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Translation, FaultReason> {
        let key = (pasid, address.raw() / PAGE);
        if !self.pages.contains_key(&key) {
            return Err(FaultReason::Blocked);
        }
        // Nobody gets more than was asked for.
        let writable = write && !self.read_only.contains(&key);
        self.translations.push((key.0, key.1, writable));
        Ok(Translation {
            page: PhysAddr::new((self.translations.len() as u64 - 1) * PAGE),
            writable,
        })
    }

    fn take_invalidation(&mut self) -> Option<Invalidation> {
        self.invalidations.pop()
    }

    // What was translated once stays reachable: that is what invalidation is for.
    fn read_translated(&mut self, from: PhysAddr, into: &mut [u8]) -> Result<(), FaultReason> {
        let (pasid, address) = self.untranslate(from);
        self.map(pasid, address, 1);
        self.read(pasid, Iova::new(address), into)
    }

    fn write_translated(&mut self, to: PhysAddr, data: &[u8]) -> Result<(), FaultReason> {
        let (.., writable) = self.translations[(to.raw() / PAGE) as usize];
        assert!(writable, "write with a translation for reading");
        let (pasid, address) = self.untranslate(to);
        self.map(pasid, address, 1);
        self.write(pasid, Iova::new(address), data)
    }

    fn interrupt(&mut self, vector: u32) {
        self.interrupts.push(vector);
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn wake(&mut self, at: Option<u64>) {
        self.wake = at;
    }

    fn enabled(&self) -> Status {
        self.enabled
    }
}

/// A device in its machine.
pub struct Rig {
    pub device: Device,
    pub machine: Machine,
}

pub const CONFIG: Config = Config {
    adis: 4,
    pasid_bits: 20,
    ats: true,
    pri: false,
};

pub fn pasid(raw: u32) -> Option<Pasid> {
    Some(Pasid::new(raw).unwrap())
}

impl Rig {
    pub fn new() -> Self {
        Self::with(CONFIG)
    }

    pub fn with(config: Config) -> Self {
        Self {
            device: Device::new(config),
            machine: Machine::new(),
        }
    }

    pub fn read(&mut self, region: Region, at: u64, size: u32) -> u64 {
        self.device.read(region, at, size, &self.machine)
    }

    pub fn write(&mut self, region: Region, at: u64, size: u32, value: u64) {
        self.device
            .write(region, at, size, value, &mut self.machine);
    }

    pub fn global(&mut self, at: u64) -> u32 {
        self.read(Region::Privileged, at, 4) as u32
    }

    pub fn set_global(&mut self, at: u64, value: u32) {
        self.write(Region::Privileged, at, 4, value.into());
    }

    pub fn privileged(&mut self, adi: u32, at: u64) -> u32 {
        self.read(Region::Privileged, pci::privileged_page(adi) + at, 4) as u32
    }

    pub fn set_privileged(&mut self, adi: u32, at: u64, value: u32) {
        self.write(
            Region::Privileged,
            pci::privileged_page(adi) + at,
            4,
            value.into(),
        );
    }

    pub fn user(&mut self, adi: u32, at: u64) -> u32 {
        self.read(Region::User, pci::user_page(adi) + at, 4) as u32
    }

    pub fn set_user(&mut self, adi: u32, at: u64, value: u32) {
        self.write(Region::User, pci::user_page(adi) + at, 4, value.into());
    }

    pub fn set_user64(&mut self, adi: u32, at: u64, value: u64) {
        self.write(Region::User, pci::user_page(adi) + at, 8, value);
    }

    pub fn set_delay(&mut self, adi: u32, nanoseconds: u64) {
        let at = pci::privileged_page(adi) + privileged::offset::DELAY;
        self.write(Region::Privileged, at, 8, nanoseconds);
    }

    pub fn enable(&mut self, adi: u32, pasid: Option<Pasid>) {
        self.set_privileged(
            adi,
            privileged::offset::PASID,
            PasidControl::new(pasid).raw(),
        );
        self.set_privileged(adi, privileged::offset::CONTROL, Control::ENABLE.bits());
    }

    pub fn command(&mut self, adi: u32, command: Command) {
        self.set_privileged(adi, privileged::offset::COMMAND, command as u32);
    }

    pub fn status(&mut self, adi: u32) -> privileged::Status {
        privileged::Status::from_bits_retain(self.privileged(adi, privileged::offset::STATUS))
    }

    pub fn user_status(&mut self, adi: u32) -> user::Status {
        user::Status::from_bits_retain(self.user(adi, user::offset::STATUS))
    }

    pub fn completed(&mut self, adi: u32) -> u64 {
        self.read(
            Region::User,
            pci::user_page(adi) + user::offset::COMPLETED,
            8,
        )
    }

    pub fn fault(&mut self, adi: u32) -> FaultStatus {
        FaultStatus::from_raw(self.privileged(adi, privileged::offset::FAULT_STATUS))
    }

    pub fn fault_address(&mut self, adi: u32) -> u64 {
        let at = pci::privileged_page(adi) + privileged::offset::FAULT_ADDRESS;
        self.read(Region::Privileged, at, 8)
    }

    pub fn completion(&mut self, adi: u32) -> Option<Completion> {
        let mut bytes = [0; Completion::BYTES];
        for (word, at) in bytes
            .chunks_exact_mut(4)
            .zip((user::offset::COMPLETION..).step_by(4))
        {
            word.copy_from_slice(&self.user(adi, at).to_le_bytes());
        }
        Completion::from_bytes(&bytes)
    }

    /// Puts a descriptor into the user page and rings.
    pub fn submit(&mut self, adi: u32, descriptor: &Descriptor) {
        self.submit_bytes(adi, &descriptor.to_bytes());
    }

    pub fn submit_bytes(&mut self, adi: u32, bytes: &[u8; Descriptor::BYTES]) {
        for (word, at) in bytes
            .chunks_exact(8)
            .zip((user::offset::INLINE_DESCRIPTOR..).step_by(8))
        {
            self.set_user64(adi, at, u64::from_le_bytes(word.try_into().unwrap()));
        }
        self.set_user(adi, user::offset::INLINE_DOORBELL, 1);
    }

    /// One call of `run` when the device has asked for it; false if it has not.
    pub fn run_once(&mut self) -> bool {
        let Some(at) = self.machine.wake else {
            return false;
        };
        self.machine.now = self.machine.now.max(at);
        self.device.run(&mut self.machine);
        true
    }

    pub fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.run_once() {
                return;
            }
        }
        panic!("the device never rests");
    }

    /// Submits, runs and returns what the user page says.
    pub fn execute(&mut self, adi: u32, descriptor: &Descriptor) -> Completion {
        let before = self.completed(adi);
        self.submit(adi, descriptor);
        self.run();
        assert_eq!(self.completed(adi), before + 1);
        self.completion(adi).unwrap()
    }

    pub fn raw(
        &mut self,
        command: global::RawCommand,
        pasid: u32,
        address: u64,
        data: u64,
    ) -> global::RawStatus {
        self.write(Region::Privileged, global::offset::RAW_ADDRESS, 8, address);
        self.write(Region::Privileged, global::offset::RAW_DATA, 8, data);
        self.set_global(global::offset::RAW_PASID, pasid);
        self.set_global(global::offset::RAW_COMMAND, command.bits());
        assert_eq!(
            self.global(global::offset::RAW_STATUS),
            global::RawStatus::BUSY.raw()
        );
        self.run();
        global::RawStatus::from_raw(self.global(global::offset::RAW_STATUS))
    }
}

pub fn copy(source: u64, destination: u64, length: u32) -> Descriptor {
    Descriptor {
        opcode: Opcode::Copy,
        source: Iova::new(source),
        destination: Iova::new(destination),
        length,
        ..Descriptor::NOP
    }
}

pub fn recorded(descriptor: Descriptor, at: u64) -> Descriptor {
    Descriptor {
        flags: descriptor.flags | DescriptorFlags::COMPLETION_RECORD,
        completion: Iova::new(at),
        ..descriptor
    }
}

/// Bytes that differ everywhere and repeat at no page.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
