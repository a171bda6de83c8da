// SPDX-License-Identifier: GPL-2.0

//! KVM's coalesced MMIO and PIO, for what the kernel's own `coalesced_io_test` does not look at.
//!
//! Argument `upstream`: the C code serves; then there are no counters to check. Argument `counted`:
//! ours does, as a part of kvm.ko or as a live patch, and they must be there.

mod bounds;
mod counters;
mod fallback;
mod full;
mod machine;
mod many;
mod order;
mod races;
mod unregister;

use anyhow::ensure;
use machine::Machine;
use siov_kselftests::ktap::{Plan, Result};
use siov_kselftests::sysfs::expect_errno;
use siov_vmm::{Vm, Zone, MMIO};
use std::process::ExitCode;

fn capabilities(_: &mut ()) -> Result {
    let vm = Vm::new()?;
    let offset = vm.fd().check_extension_int(kvm_ioctls::Cap::CoalescedMmio);
    ensure!(offset == 2, "the ring is {offset} pages behind kvm_run");
    let pio = vm.fd().check_extension_int(kvm_ioctls::Cap::CoalescedPio);
    ensure!(pio == 1, "KVM_CAP_COALESCED_PIO is {pio}");
    Ok(())
}

/// The address space is either memory or ports.
fn spaces(_: &mut ()) -> Result {
    let machine = Machine::new()?;
    for pio in [2, 3, 0x100, 0x8000_0000, u32::MAX] {
        let zone = Zone {
            pio,
            ..Zone::mmio(MMIO, 8)
        };
        let what = format!("pio = {pio:#x}");
        expect_errno(zone.register(&machine.vm), nix::Error::EINVAL, &what)?;
        expect_errno(zone.unregister(&machine.vm), nix::Error::EINVAL, &what)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let counted = match std::env::args().nth(1).as_deref() {
        Some("counted") => true,
        Some("upstream") => false,
        _ => {
            eprintln!("usage: kvm_coalesced_io counted|upstream");
            return ExitCode::from(2);
        }
    };
    let mut plan = Plan::new(())
        .case("capabilities", capabilities)
        .case("address spaces", spaces)
        .case("bounds of a zone in memory", bounds::memory)
        .case("bounds of a zone of ports", bounds::ports)
        .case("writes that cross a page", bounds::pages)
        .case("zones at the end of the address space", bounds::wrapping)
        .case("overlapping zones", bounds::overlapping)
        .case("memory and ports in one order", order::mixed)
        .case("reads are not coalesced", order::reads)
        .case("string output", order::strings)
        .case("every length and value", order::values)
        .case("all processors map one ring", order::one_ring)
        .case("a flush before a data port", order::flush)
        .case("firmware in real mode", order::real_mode)
        .case("a kernel without coalesced ports", fallback::no_ports)
        .case("a kernel without coalescing", fallback::nothing)
        .case("a full ring", full::full)
        .case("an index outside of the ring", full::bad_last)
        .case("a reader outside of the ring", full::bad_first)
        .case("unregister what contains the range", unregister::containing)
        .case("unregister sizes", unregister::sizes)
        .case("unregister a zone of 4 GiB", unregister::long)
        .case("unregister in one space", unregister::spaces)
        .case("unregister and register again", unregister::again)
        .case("1000 zones", many::zones)
        .case("1000 zones over one address", many::layers)
        .case("two machines", many::machines)
        .case("machines that end with zones", many::endings)
        .case("zones that come and go", races::zones)
        .case("two processors", races::processors)
        .case("two processors and zones that come and go", races::both);
    if counted {
        plan = plan
            .case("counters of zones", counters::zones)
            .case("counters of a full ring", counters::full)
            .case("counters under two processors", counters::processors)
            .case("counters of zones that are gone", counters::gone)
            .case("no counters before the first zone", counters::absent)
            .case("counters of a machine that ends", counters::ending);
    }
    plan.run()
}
