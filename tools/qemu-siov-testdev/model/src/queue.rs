// SPDX-License-Identifier: GPL-2.0

//! An ADI's user page: the ring, the inline descriptor and the events.

use siov_testdev_regs::user::{offset, Interrupt, Status, MAX_RING_ORDER};
use siov_testdev_regs::{Completion, Descriptor};
use siov_types::Iova;

use crate::register::{half, set_half, wide};

/// The inline descriptor's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Inline {
    #[default]
    Idle,
    Waiting,
    UnderWay,
}

/// Where the next descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// In the user page.
    Inline([u8; Descriptor::BYTES]),
    /// In memory.
    Ring(Iova),
}

/// The state behind a user page.
#[derive(Debug)]
pub(crate) struct Queue {
    ring_base: u64,
    ring_order: u32,
    head: u32,
    tail: u32,
    halted: bool,
    inline: Inline,
    inline_descriptor: [u8; Descriptor::BYTES],
    enabled_events: Interrupt,
    events: Interrupt,
    completed: u64,
    last: [u8; Completion::BYTES],
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            ring_base: 0,
            ring_order: 0,
            head: 0,
            tail: 0,
            halted: false,
            inline: Inline::Idle,
            inline_descriptor: [0; Descriptor::BYTES],
            enabled_events: Interrupt::empty(),
            events: Interrupt::empty(),
            completed: 0,
            last: [0; Completion::BYTES],
        }
    }

    /// The next descriptor; the inline one before those of the ring.
    pub(crate) fn next(&self) -> Option<Next> {
        if self.inline == Inline::Waiting {
            return Some(Next::Inline(self.inline_descriptor));
        }
        if self.halted || self.head == self.tail {
            return None;
        }
        let offset = u64::from(self.head) * Descriptor::BYTES as u64;
        Some(Next::Ring(Iova::new(self.ring_base.wrapping_add(offset))))
    }

    /// The next descriptor has been taken.
    pub(crate) fn take(&mut self, next: Next) {
        match next {
            Next::Inline(_) => self.inline = Inline::UnderWay,
            Next::Ring(_) => self.head = self.index(self.head.wrapping_add(1)),
        }
    }

    /// A descriptor could not be fetched. Returns whether to raise the vector.
    pub(crate) fn halt(&mut self) -> bool {
        self.halted = true;
        self.event()
    }

    /// A descriptor has finished. Returns whether to raise the vector.
    pub(crate) fn finish(&mut self, completion: &Completion, inline: bool, event: bool) -> bool {
        self.completed += 1;
        self.last = completion.to_bytes();
        if inline {
            self.inline = Inline::Idle;
        }
        event && self.event()
    }

    /// Forgets all descriptors that wait.
    pub(crate) fn empty(&mut self) {
        self.head = 0;
        self.tail = 0;
        if self.inline == Inline::Waiting {
            self.inline = Inline::Idle;
        }
    }

    /// Descriptors finished since reset.
    pub(crate) fn completed(&self) -> u64 {
        self.completed
    }

    fn event(&mut self) -> bool {
        self.events |= Interrupt::COMPLETION;
        self.enabled_events.contains(Interrupt::COMPLETION)
    }

    /// Reads a register.
    pub(crate) fn read(&self, at: u64, ready: bool, active: bool) -> u32 {
        match at {
            offset::STATUS => self.status(ready, active).bits(),
            offset::RING_ORDER => self.ring_order,
            offset::RING_TAIL => self.tail,
            offset::RING_HEAD => self.head,
            offset::INTERRUPT_ENABLE => self.enabled_events.bits(),
            offset::INTERRUPT_STATUS => self.events.bits(),
            _ => match wide(at) {
                offset::RING_BASE => half(at, self.ring_base),
                offset::COMPLETED => half(at, self.completed),
                _ => word(&self.last, offset::COMPLETION, at)
                    .or_else(|| word(&self.inline_descriptor, offset::INLINE_DESCRIPTOR, at))
                    .map_or(0, |word| u32::from_le_bytes(*word)),
            },
        }
    }

    fn status(&self, ready: bool, active: bool) -> Status {
        let mut status = Status::empty();
        status.set(Status::READY, ready);
        status.set(Status::ACTIVE, active);
        status.set(Status::INLINE_BUSY, self.inline != Inline::Idle);
        status.set(Status::HALTED, self.halted);
        status
    }

    /// Writes a register. Returns whether to raise the vector.
    pub(crate) fn write(&mut self, at: u64, value: u32, ready: bool) -> bool {
        match at {
            offset::INLINE_DOORBELL if ready && self.inline == Inline::Idle => {
                self.inline = Inline::Waiting;
            }
            offset::RING_ORDER => {
                self.ring_order = value.min(MAX_RING_ORDER);
                self.head = 0;
                self.tail = 0;
            }
            offset::RING_TAIL if ready => self.tail = self.index(value),
            offset::INTERRUPT_ENABLE => {
                let before = self.enabled_events;
                self.enabled_events = Interrupt::from_bits_truncate(value);
                let added = self.enabled_events.difference(before);
                // An event that came before would otherwise be lost.
                return added.intersects(self.events);
            }
            offset::INTERRUPT_STATUS => {
                self.events.remove(Interrupt::from_bits_truncate(value));
            }
            _ if wide(at) == offset::RING_BASE => {
                set_half(at, &mut self.ring_base, value);
                self.ring_base &= !(Descriptor::BYTES as u64 - 1);
                self.head = 0;
                self.tail = 0;
                self.halted = false;
            }
            // What runs must be what was submitted.
            _ if self.inline == Inline::Idle => {
                let bytes = &mut self.inline_descriptor;
                if let Some(word) = word_mut(bytes, offset::INLINE_DESCRIPTOR, at) {
                    *word = value.to_le_bytes();
                }
            }
            _ => {}
        }
        false
    }

    fn index(&self, value: u32) -> u32 {
        value & ((1 << self.ring_order) - 1)
    }
}

/// The word at register offset `at` of bytes that start at `start`.
fn word(bytes: &[u8], start: u64, at: u64) -> Option<&[u8; 4]> {
    let index = usize::try_from(at.checked_sub(start)?).ok()?;
    bytes.get(index..)?.first_chunk()
}

fn word_mut(bytes: &mut [u8], start: u64, at: u64) -> Option<&mut [u8; 4]> {
    let index = usize::try_from(at.checked_sub(start)?).ok()?;
    bytes.get_mut(index..)?.first_chunk_mut()
}
