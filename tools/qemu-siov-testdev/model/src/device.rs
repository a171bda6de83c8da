// SPDX-License-Identifier: GPL-2.0

//! The whole device: regions, the global page, and whose turn it is.

use siov_testdev_regs::global::{self, offset, Capabilities, Control, Status};
use siov_testdev_regs::{pci, Opcode};

use crate::adi::{Adi, Events};
use crate::atc::Atc;
use crate::host::Host;
use crate::raw::Raw;
use crate::register::{half, wide};
use crate::requester::Requester;

/// What differs between two devices of this kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Number of ADIs, 1 to [`pci::MAX_ADIS`].
    pub adis: u32,
    /// PASID width in bits, 0 without a PASID capability.
    pub pasid_bits: u8,
    /// Whether there is an ATS capability.
    pub ats: bool,
    /// Whether there is a PRI capability.
    pub pri: bool,
}

/// The regions that the model serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Region {
    /// BAR 0.
    Privileged,
    /// BAR 2.
    User,
}

/// The device.
#[derive(Debug)]
pub struct Device {
    config: Config,
    control: Control,
    adis: Vec<Adi>,
    raw: Raw,
    atc: Atc,
    /// The ADI that has the first turn in the next round.
    turn: usize,
}

/// Steps in one call of [`Device::run`], so that other devices get their time as well.
const STEPS: usize = 64;

impl Device {
    /// A device after power-on.
    pub fn new(config: Config) -> Self {
        let adi = || Adi::new(config.pasid_bits);
        Self {
            config,
            control: Control::empty(),
            adis: core::iter::repeat_with(adi)
                .take(config.adis as usize)
                .collect(),
            raw: Raw::new(),
            atc: Atc::default(),
            turn: 0,
        }
    }

    /// Bytes of a region.
    pub fn size(config: &Config, region: Region) -> u64 {
        let size = match region {
            Region::Privileged => pci::privileged_page(config.adis),
            Region::User => pci::user_page(config.adis),
        };
        size.next_power_of_two()
    }

    /// Back to the state after power-on. Work in flight ends without a trace.
    pub fn reset(&mut self, host: &mut (impl Host + ?Sized)) {
        *self = Self::new(self.config);
        host.wake(None);
    }

    /// Reads `size` bytes, 4 or 8, at `at` of a region.
    pub fn read(&mut self, region: Region, at: u64, size: u32, host: &(impl Host + ?Sized)) -> u64 {
        let low = u64::from(self.read_word(region, at, host));
        if size == 8 {
            low | (u64::from(self.read_word(region, at + 4, host)) << 32)
        } else {
            low
        }
    }

    /// Writes `size` bytes, 4 or 8, at `at` of a region. Eight bytes are two writes, the lower
    /// address first.
    pub fn write(
        &mut self,
        region: Region,
        at: u64,
        size: u32,
        value: u64,
        host: &mut (impl Host + ?Sized),
    ) {
        self.write_word(region, at, value as u32, host);
        if size == 8 {
            self.write_word(region, at + 4, (value >> 32) as u32, host);
        }
        self.set_wake(host);
    }

    /// Does work that is due.
    pub fn run(&mut self, host: &mut (impl Host + ?Sized)) {
        let now = host.now();
        let mut requester = Requester {
            host: &mut *host,
            atc: &mut self.atc,
        };
        self.raw.run(&mut requester);
        for _ in 0..STEPS {
            let Some((index, adi)) = next_due(&mut self.adis, self.turn, now) else {
                break;
            };
            let mut requester = Requester {
                host: &mut *host,
                atc: &mut self.atc,
            };
            let events = adi.step(&mut requester);
            self.turn = index + 1;
            raise(index, events, self.control, host);
        }
        self.set_wake(host);
    }

    fn set_wake(&self, host: &mut (impl Host + ?Sized)) {
        let raw = self.raw.is_waiting().then_some(0);
        host.wake(raw.or_else(|| self.adis.iter().filter_map(Adi::due).min()));
    }

    fn read_word(&self, region: Region, at: u64, host: &(impl Host + ?Sized)) -> u32 {
        let (page, at) = split(at);
        match (region, page) {
            (Region::Privileged, 0) => self.read_global(at, host),
            (Region::Privileged, _) => self
                .adis
                .get(page - 1)
                .map_or(0, |adi| adi.read_privileged(at)),
            (Region::User, _) => self.adis.get(page).map_or(0, |adi| adi.read_user(at)),
        }
    }

    fn write_word(&mut self, region: Region, at: u64, value: u32, host: &mut (impl Host + ?Sized)) {
        let (page, at) = split(at);
        let now = host.now();
        match (region, page) {
            (Region::Privileged, 0) => self.write_global(at, value, host),
            (Region::Privileged, _) => {
                if let Some(adi) = self.adis.get_mut(page - 1) {
                    adi.write_privileged(at, value, now);
                }
            }
            (Region::User, _) => {
                if let Some(adi) = self.adis.get_mut(page) {
                    let events = adi.write_user(at, value, now);
                    raise(page, events, self.control, host);
                }
            }
        }
    }

    fn read_global(&self, at: u64, host: &(impl Host + ?Sized)) -> u32 {
        const FAULT_PENDING_END: u64 = offset::FAULT_PENDING + 4 * 8;
        match at {
            offset::ID => global::ID,
            offset::VERSION => global::VERSION,
            offset::ADI_COUNT => self.config.adis,
            offset::CONTROL => self.control.bits(),
            offset::STATUS => self.status(host).bits(),
            offset::FAULT_PENDING..FAULT_PENDING_END => {
                let first = (at - offset::FAULT_PENDING) as usize * 8;
                self.adis
                    .iter()
                    .skip(first)
                    .take(32)
                    .enumerate()
                    .fold(0, |word, (bit, adi)| {
                        word | (u32::from(adi.has_fault()) << bit)
                    })
            }
            _ if wide(at) == offset::CAPABILITIES => half(at, self.capabilities().bits()),
            _ => self.raw.read(at),
        }
    }

    fn write_global(&mut self, at: u64, value: u32, host: &mut (impl Host + ?Sized)) {
        if at != offset::CONTROL {
            self.raw.write(at, value);
            return;
        }
        let control = Control::from_bits_truncate(value);
        if control.contains(Control::RESET) {
            self.reset(host);
        } else {
            self.control = control;
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut flags = Capabilities::RAW;
        flags.set(Capabilities::ATS, self.config.ats);
        flags.set(Capabilities::PRI, self.config.pri);
        Capabilities::new(flags, self.config.pasid_bits, Opcode::ALL)
    }

    fn status(&self, host: &(impl Host + ?Sized)) -> Status {
        let active = self.raw.is_waiting() || self.adis.iter().any(Adi::is_active);
        let mut status = host.enabled();
        status.set(Status::ACTIVE, active);
        status
    }
}

/// The next ADI with a step that is due, from `turn` on and around.
fn next_due(adis: &mut [Adi], turn: usize, now: u64) -> Option<(usize, &mut Adi)> {
    let count = adis.len();
    let index = (0..count)
        .map(|n| (turn + n) % count)
        .find(|&index| adis[index].due().is_some_and(|due| due <= now))?;
    Some((index, &mut adis[index]))
}

fn raise(adi: usize, events: Events, control: Control, host: &mut (impl Host + ?Sized)) {
    if events.completion {
        host.interrupt(pci::vector_of(adi as u32));
    }
    if events.fault && control.contains(Control::ERROR_INTERRUPT) {
        host.interrupt(pci::VECTOR_ERROR);
    }
}

/// Page number and offset in the page.
fn split(at: u64) -> (usize, u64) {
    ((at / pci::PAGE_SIZE) as usize, at % pci::PAGE_SIZE)
}
