// SPDX-License-Identifier: GPL-2.0

//! Coalesced MMIO and PIO of KVM: writes to addresses that user space has registered wait in a ring
//! that it shares, in place of an exit each.
//!
//! Replaces `virt/kvm/coalesced_mmio.c`, with the same ABI (`Documentation/virt/kvm/api.rst`,
//! section 4.116), and counts what it does: see `Documentation/virt/kvm/coalesced-io.rst`.
//!
//! Lock order: `kvm->slots_lock`, under which zones are registered and unregistered, then
//! `kvm->ring_lock`, whose holder fills the ring. The counters are stored under `ring_lock` and
//! read without a lock.

#![deny(unsafe_code)]

mod counts;
#[allow(unsafe_code)]
mod sys;

use crate::counts::Counts;
use crate::sys::{Device, GuestWrite, Request, RingLock, Vm};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use siov_ring::{Refusal, Ring, Space, Write};

/// `KVM_REGISTER_COALESCED_MMIO`. May sleep.
///
/// # Errors
///
/// `EINVAL` for an address space that the ABI does not define, `ENOMEM`, and `ENOSPC` when the bus
/// is full (`NR_IOBUS_DEVS`).
fn register(mut vm: Vm<'_>, request: Request) -> Result {
    let zone = request.zone().ok_or(EINVAL)?;
    vm.lock_zones().add(zone)
}

/// `KVM_UNREGISTER_COALESCED_MMIO`: removes every zone that contains the range. May sleep.
///
/// # Errors
///
/// `EINVAL` for an address space that the ABI does not define. It is no error that there is no such
/// zone.
fn unregister(mut vm: Vm<'_>, request: Request) -> Result {
    let range = request.zone().ok_or(EINVAL)?;
    vm.lock_zones().remove_if(|zone| zone.is_removed_by(&range));
    Ok(())
}

/// A guest writes to an address that may belong to the zone of `device`; vCPUs do so at the same
/// time. Must not sleep.
///
/// Returns whether the write is done; otherwise KVM asks the next device on the bus, and in the end
/// user space.
#[inline]
fn write(device: &Device, ring: RingLock<'_>, write: GuestWrite<'_>) -> bool {
    let zone = device.zone();
    // The bus also asks for writes that a zone has only a part of.
    let addr = write.addr();
    if !zone.zone.contains(addr, write.len()) {
        return false;
    }
    let Some(data) = write.into_data() else {
        return false;
    };
    let write = Write {
        space: zone.zone.space(),
        addr,
        data,
    };
    let ring = ring.lock();
    match ring.push(&write) {
        Ok(waiting) => {
            zone.counts.coalesced.add(1);
            device.vm_counts().peak.raise(waiting);
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

/// Prints the file `coalesced_io` in the VM's folder of debugfs. May sleep.
fn show(mut vm: Vm<'_>, file: &SeqFile) {
    let mut zones = vm.lock_zones();
    let waiting = zones.ring().lock().len();
    let Some(vm) = zones.vm_counts() else {
        return;
    };
    seq_print!(file, "capacity {}\n", Ring::CAPACITY);
    seq_print!(file, "waiting {waiting}\n");
    seq_print!(file, "peak {}\n", vm.peak.get());
    seq_print!(
        file,
        "space address            size       coalesced  ring-full  bad-index\n"
    );
    zones.for_each(|zone| {
        let space = match zone.zone.space() {
            Space::Mmio => "mmio",
            Space::Pio => "pio",
        };
        let (start, size) = (zone.zone.start(), zone.zone.size());
        seq_print!(file, "{space:5} {start:#018x} {size:#010x}");
        show_counts(&zone.counts, file);
    });
    seq_print!(file, "{:34}", "gone");
    show_counts(&vm.gone, file);
}

fn show_counts(counts: &Counts, file: &SeqFile) {
    seq_print!(
        file,
        " {:10} {:10} {:10}\n",
        counts.coalesced.get(),
        counts.full.get(),
        counts.bad_index.get()
    );
}
