// SPDX-License-Identifier: GPL-2.0

//! Hardware: a unit that works its queue off in steps (VT-d spec, 6.5.2), in any order that the
//! specification allows, with devices behind it that need not answer.

use siov_types::Bdf;
use siov_vtd::invalidate::{Descriptor, Kind};
use siov_vtd::queue::{QueueSize, Slot};
use siov_vtd::regs::FaultStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the status words lie in the unit's eyes.
pub const STATUS: u64 = 0x5000;

/// A descriptor that no other one equals.
pub type Tag = u64;

/// Has the unit drop cached translations.
pub fn iotlb(tag: Tag) -> Descriptor {
    Descriptor::from_raw([2 | (3 << 4), tag << 12, 0, 0])
}

/// Has a device drop cached translations.
pub fn device_tlb(tag: Tag, source: Bdf) -> Descriptor {
    Descriptor::from_raw([3 | (u64::from(source.raw()) << 32), tag << 12, 0, 0])
}

/// Of a type that there is not.
pub fn nonsense(tag: Tag) -> Descriptor {
    Descriptor::from_raw([0xf, tag << 12, 0, 0])
}

/// What was fetched and is not finished.
#[derive(Clone, Debug)]
enum Op {
    Iotlb(Tag),
    /// All that is cached of the IOTLB, fetched at this time.
    IotlbGlobal(u64),
    /// With the functions that were blocked in memory when it was fetched.
    ContextCache(BTreeSet<Bdf>),
    PasidCache,
    DeviceTlb(Tag, Bdf),
    /// All that the device has cached, fetched at this time.
    DeviceTlbAll(u64, Bdf),
    Wait {
        word: usize,
        data: u32,
        fence: bool,
    },
}

impl Op {
    fn device(&self) -> Option<Bdf> {
        match self {
            Self::DeviceTlb(_, source) | Self::DeviceTlbAll(_, source) => Some(*source),
            _ => None,
        }
    }
}

/// What the unit could do next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Fetch,
    Finish(usize),
    TimeOut(usize),
}

#[derive(Debug)]
pub struct Unit {
    size: QueueSize,
    pub head: Slot,
    tail: Slot,
    pub status: FaultStatus,
    pub record: u64,
    in_flight: Vec<Op>,
    /// All that was ever fetched.
    fetched: BTreeSet<Tag>,
    /// What was carried out, by the unit or by the device.
    pub done: BTreeSet<Tag>,
    /// Functions that do not answer.
    pub dead: BTreeSet<Bdf>,
    /// Whether IQERCD says which function timed out.
    pub names_sources: bool,
    /// Whether it goes on after an error when the tail is written, not when the flag is cleared.
    pub waits_for_tail: bool,
    /// It has stopped at an error, and the tail has not been written since.
    stopped: bool,
    /// Does nothing at all.
    pub frozen: bool,
    /// The number of fetches until one fails for once.
    pub fails_to_fetch_in: Option<u32>,
    /// Refuses what it has refused, whatever stands there.
    pub refuses_again: bool,
    /// Refuses every device-TLB invalidation.
    pub refuses_device_tlbs: bool,
    /// Device-TLB invalidations that timed out and were reported.
    pub timed_out: BTreeSet<Tag>,
    /// Time-outs that went unreported, because one was reported already.
    pub silent_time_outs: u32,
    refusals: u32,
    /// Descriptors that were fetched.
    pub clock: u64,
    /// When what dropped the whole IOTLB was fetched.
    pub iotlb_dropped: u64,
    /// When what dropped the whole of a device's TLB was fetched.
    pub tlb_dropped: BTreeMap<Bdf, u64>,
    /// Functions whose context entry, in memory, blocks translated requests.
    pub blocked_in_memory: BTreeSet<Bdf>,
    /// Functions whose translated requests are blocked for certain: the unit has no other entry of
    /// theirs cached.
    pub blocked: BTreeSet<Bdf>,
}

impl Unit {
    pub fn new(size: QueueSize) -> Self {
        Self {
            size,
            head: Slot::FIRST,
            tail: Slot::FIRST,
            status: FaultStatus::empty(),
            record: 0,
            in_flight: Vec::new(),
            fetched: BTreeSet::new(),
            done: BTreeSet::new(),
            dead: BTreeSet::new(),
            names_sources: true,
            waits_for_tail: false,
            stopped: false,
            frozen: false,
            fails_to_fetch_in: None,
            refuses_again: false,
            refuses_device_tlbs: false,
            timed_out: BTreeSet::new(),
            silent_time_outs: 0,
            refusals: 0,
            clock: 1,
            iotlb_dropped: 0,
            tlb_dropped: BTreeMap::new(),
            blocked_in_memory: BTreeSet::new(),
            blocked: BTreeSet::new(),
        }
    }

    pub fn set_tail(&mut self, value: u64) {
        let tail = self.size.slot(value).expect("the tail lies in the queue");
        // It may not come past the head from behind.
        let added = self.size.distance(self.tail, tail);
        let free = self.size.free(self.head, self.tail);
        assert!(added <= free, "{added} descriptors for {free} slots");
        self.tail = tail;
        // Not with the error still there.
        self.stopped &= self.is_in_error();
    }

    pub fn clear(&mut self, flags: FaultStatus) {
        assert!(
            self.status.contains(flags),
            "{flags:?} is not there to be cleared"
        );
        self.status.remove(flags);
        if self.refuses_again && flags.contains(FaultStatus::IQE) {
            self.refusals += 1;
            assert!(self.refusals < 10_000, "somebody waits without end");
            self.refuse(2);
        }
        self.stopped &= self.waits_for_tail || self.is_in_error();
        if flags.contains(FaultStatus::ITE) {
            self.record &= !(0xffff << 32);
        }
    }

    /// Whether it has finished all that is in the queue.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail && self.in_flight.is_empty()
    }

    fn is_in_error(&self) -> bool {
        self.status.intersects(FaultStatus::IQE | FaultStatus::ITE)
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.frozen {
            return actions;
        }
        let fenced = |op: &Op| matches!(op, Op::Wait { fence: true, .. });
        if self.head != self.tail
            && !self.stopped
            && !self.is_in_error()
            && !self.in_flight.iter().any(fenced)
        {
            actions.push(Action::Fetch);
        }
        for (index, op) in self.in_flight.iter().enumerate() {
            if op
                .device()
                .is_some_and(|source| self.dead.contains(&source))
            {
                actions.push(Action::TimeOut(index));
                continue;
            }
            match op {
                // Waits complete in order, and after all that was fetched before them.
                Op::Wait { .. } if index != 0 => {}
                _ => actions.push(Action::Finish(index)),
            }
        }
        actions
    }

    /// Takes one step, of those there are the one that `choice` says. Time-outs take their time:
    /// one comes only where `may_time_out`.
    pub fn step(
        &mut self,
        choice: u8,
        may_time_out: bool,
        memory: &[AtomicU64],
        status: &[AtomicU64],
    ) {
        let mut actions = self.actions();
        actions.retain(|action| may_time_out || !matches!(action, Action::TimeOut(_)));
        if actions.is_empty() {
            return;
        }
        match actions[usize::from(choice) % actions.len()] {
            Action::Fetch => self.fetch(memory),
            Action::Finish(index) => match self.in_flight.remove(index) {
                Op::Iotlb(tag) | Op::DeviceTlb(tag, _) => {
                    self.done.insert(tag);
                }
                Op::IotlbGlobal(time) => self.iotlb_dropped = self.iotlb_dropped.max(time),
                Op::ContextCache(blocked) => self.blocked.extend(blocked),
                Op::PasidCache => {}
                Op::DeviceTlbAll(time, source) => {
                    let dropped = self.tlb_dropped.entry(source).or_default();
                    *dropped = time.max(*dropped);
                }
                Op::Wait { word, data, .. } => status[word].store(data.into(), Ordering::Release),
            },
            Action::TimeOut(index) => self.time_out(index),
        }
    }

    /// Goes on until there is nothing left to do.
    pub fn run(&mut self, may_time_out: bool, memory: &[AtomicU64], status: &[AtomicU64]) {
        let work = |unit: &Self| {
            let is_work = |action: &Action| may_time_out || !matches!(action, Action::TimeOut(_));
            unit.actions().iter().any(is_work)
        };
        while work(self) {
            self.step(0, may_time_out, memory, status);
        }
    }

    fn fetch(&mut self, memory: &[AtomicU64]) {
        let start = self.head.index() * Descriptor::WORDS;
        let raw = std::array::from_fn(|word| memory[start + word].load(Ordering::Acquire));
        let descriptor = Descriptor::from_raw(raw);
        let tag = raw[1] >> 12;
        let fails = self.fails_to_fetch_in.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        let op = match descriptor.kind() {
            _ if fails => {
                self.fails_to_fetch_in = None;
                self.refuse(2);
                return;
            }
            Some(Kind::Iotlb) if tag == 0 => Op::IotlbGlobal(self.clock),
            Some(Kind::Iotlb) => Op::Iotlb(tag),
            Some(Kind::ContextCache) => Op::ContextCache(self.blocked_in_memory.clone()),
            Some(Kind::PasidCache) => Op::PasidCache,
            Some(Kind::DeviceTlb) if self.refuses_device_tlbs => {
                self.refuse(4);
                return;
            }
            Some(Kind::DeviceTlb) => {
                let source = Bdf::from_raw((raw[0] >> 32) as u16);
                // The S bit: more than one page, and here that is all.
                if raw[1] & 1 != 0 {
                    Op::DeviceTlbAll(self.clock, source)
                } else {
                    Op::DeviceTlb(tag, source)
                }
            }
            Some(Kind::Wait) => Op::Wait {
                word: ((raw[1] - STATUS) / 8) as usize,
                data: (raw[0] >> 32) as u32,
                fence: raw[0] & (1 << 6) != 0,
            },
            _ => {
                self.refuse(3);
                return;
            }
        };
        self.clock += 1;
        if let Op::Iotlb(tag) | Op::DeviceTlb(tag, _) = op {
            assert!(
                self.fetched.insert(tag),
                "{tag} was fetched before: what is in the slot is of the last round"
            );
        }
        self.in_flight.push(op);
        self.head = self.size.after(self.head, 1);
    }

    fn refuse(&mut self, reason: u64) {
        self.status.insert(FaultStatus::IQE);
        self.stopped = true;
        self.record = self.record & !0xf | reason;
    }

    fn time_out(&mut self, index: usize) {
        let op = self.in_flight.remove(index);
        let source = op.device().expect("only device-TLB invalidations time out");
        if self.status.contains(FaultStatus::ITE) {
            self.silent_time_outs += 1;
            return;
        }
        if let Op::DeviceTlb(tag, _) = op {
            self.timed_out.insert(tag);
        }
        self.status.insert(FaultStatus::ITE);
        self.stopped = true;
        if self.names_sources {
            self.record |= u64::from(source.raw()) << 32;
        }
        self.in_flight.retain(|op| !matches!(op, Op::Wait { .. }));
    }

    /// A device completes what it was not asked.
    pub fn unexpected_completion(&mut self, source: Bdf) {
        self.status.insert(FaultStatus::ICE);
        self.record = (self.record & !(0xffff << 48)) | (u64::from(source.raw()) << 48);
    }
}
