// SPDX-License-Identifier: GPL-2.0

//! Coalesced MMIO and PIO of KVM: writes to addresses that user space has registered wait in a ring that
//! it shares, in place of an exit each.
//!
//! Takes the place of `virt/kvm/coalesced_mmio.c`, with the same ABI (`Documentation/virt/kvm/api.rst`,
//! section 4.116), and counts what it does: see `Documentation/virt/kvm/coalesced-io.rst`.
//!
//! Lock order: `kvm->slots_lock`, under which zones come and go, then `kvm->ring_lock`, whose holder
//! fills the ring. The counters are stored under `ring_lock`, and may be read by anybody.

mod sys;

use crate::sys::{CoalescedIo, PerVm, Request, Slots, Vm};
use kernel::fmt;
use kernel::prelude::*;
use siov_ring::{Count, Data, Peak, Refusal, Ring, Space, Write, Zone};

struct CoalescedRing;

/// What became of the writes to a zone.
#[derive(Default)]
struct Counts {
    coalesced: Count,
    /// Left to user space, because the ring was full.
    full: Count,
    /// Left to user space, because it had stored an index that is not in the ring.
    bad_index: Count,
}

impl Counts {
    fn add(&self, other: &Self) {
        self.coalesced.add(other.coalesced.get());
        self.full.add(other.full.get());
        self.bad_index.add(other.bad_index.get());
    }
}

#[derive(Default)]
struct VmCounts {
    /// The most writes that waited at a time.
    peak: Peak,
    /// Of zones that are no longer registered.
    gone: Counts,
}

struct CountedZone {
    zone: Zone,
    size: u32,
    counts: Counts,
}

impl CoalescedIo for CoalescedRing {
    type Vm = VmCounts;
    type Zone = CountedZone;

    fn register(vm: &Vm<Self>, request: &Request) -> Result {
        let zone = CountedZone {
            zone: request.zone().ok_or(EINVAL)?,
            size: request.size,
            counts: Counts::default(),
        };
        vm.lock_slots().add(request, zone)
    }

    /// Every zone that contains the range goes. That there is none is no error.
    fn unregister(vm: &Vm<Self>, request: &Request) -> Result {
        let space = request.zone().ok_or(EINVAL)?.space();
        vm.lock_slots().remove_if(|zone| {
            zone.zone().is_some_and(|zone| {
                zone.space() == space && zone.is_meant_by(request.addr, request.size)
            })
        });
        Ok(())
    }

    #[inline]
    fn write(vm: &PerVm<Self>, zone: &CountedZone, addr: u64, bytes: &[u8]) -> bool {
        // The bus also asks for writes that a zone has only a part of.
        if !zone.zone.contains(addr, bytes.len() as u64) {
            return false;
        }
        let Some(data) = Data::new(bytes) else {
            return false;
        };
        let write = Write {
            space: zone.zone.space(),
            addr,
            data,
        };
        let ring = vm.lock_ring();
        match ring.push(&write) {
            Ok(waiting) => {
                zone.counts.coalesced.add(1);
                vm.data().peak.raise(waiting);
                true
            }
            Err(Refusal::Full) => {
                zone.counts.full.add(1);
                false
            }
            Err(Refusal::BadIndex) => {
                zone.counts.bad_index.add(1);
                false
            }
        }
    }

    fn removed(vm: &VmCounts, zone: &CountedZone) {
        // No write comes any more, and `slots_lock` keeps other zones that go away from here.
        vm.gone.add(&zone.counts);
    }

    fn show(slots: &Slots<'_, Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(vm) = slots.per_vm() else {
            return Ok(());
        };
        let waiting = vm.lock_ring().len();
        writeln!(f, "capacity {}", Ring::CAPACITY)?;
        writeln!(f, "waiting {waiting}")?;
        writeln!(f, "peak {}", vm.data().peak.get())?;
        writeln!(
            f,
            "space address            size       coalesced  ring-full  bad-index"
        )?;
        let mut result = Ok(());
        slots.for_each(|zone| {
            if result.is_ok() {
                result = show_zone(zone, f);
            }
        });
        result?;
        write!(f, "{:34}", "gone")?;
        show_counts(&vm.data().gone, f)
    }
}

fn show_zone(zone: &CountedZone, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let space = match zone.zone.space() {
        Space::Mmio => "mmio",
        Space::Pio => "pio",
    };
    write!(
        f,
        "{space:5} {:#018x} {:#010x}",
        zone.zone.start(),
        zone.size
    )?;
    show_counts(&zone.counts, f)
}

fn show_counts(counts: &Counts, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        " {:10} {:10} {:10}",
        counts.coalesced.get(),
        counts.full.get(),
        counts.bad_index.get()
    )
}
