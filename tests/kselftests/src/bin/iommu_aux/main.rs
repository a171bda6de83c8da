// SPDX-License-Identifier: GPL-2.0

//! Auxiliary domains, through the functions of `include/linux/iommu-aux.h` and with the DMA of
//! siov-testdev.
//!
//! The first argument chooses the cases: none or `vtd` for a machine whose IOMMU takes PASIDs (the
//! latter for one whose driver tells of faults), `few` for one with few PASIDs, `plug` for devices
//! that come by the monitor, `bare` for a machine whose IOMMU, if any, takes none.

mod attach;
mod bare;
mod context;
mod faults;
mod few;
mod isolation;
mod leak;
mod misuse;
mod removal;
mod spaces;

use context::Context;
use siov_kselftests::ktap::{self, Plan};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("few") => ktap::run(Context::new, |c| {
            Plan::new(c).case("all PASIDs taken", few::exhausted).run()
        }),
        Some("plug") => ktap::run(removal::Context::new, |c| {
            Plan::new(c)
                .case("driver unbound with domains attached", removal::unbind)
                .case(
                    "an attachment that is older than the binding",
                    removal::stale,
                )
                .case("hot unplug with 64 domains at work", removal::unplug)
                .run()
        }),
        Some("bare") => ktap::run(bare::Context::new, |c| {
            Plan::new(c)
                .case("no device is capable", bare::incapable)
                .run()
        }),
        _ => with_pasids(),
    }
}

fn with_pasids() -> ExitCode {
    ktap::run(Context::new, |context| {
        Plan::new(context)
            .case("capability", attach::capability)
            .case("enable and disable", attach::enable)
            .case("attach before enable", attach::before_enable)
            .case("counted attachments", attach::counted)
            .case("one id on two devices", attach::two_devices)
            .case("attachments from two threads", attach::two_threads)
            .case("no domain, no device", misuse::none)
            .case("domains that do not fit", misuse::strange)
            .case("a PASID that somebody else uses", misuse::taken)
            .case("64 address spaces at once", spaces::many)
            .case("normal domain here, auxiliary there", spaces::both_modes)
            .case("what a stream does not reach", isolation::unmapped)
            .case("a PASID that is not attached", isolation::unattached)
            .case("after detach, free and disable", isolation::after)
            .case("requests without PASID all the while", isolation::untagged)
            .case("fault handlers", faults::handlers)
            .case("10,000 cycles leave nothing", leak::cycles)
            .case("a driver in Rust", leak::from_rust)
            .case("order of unloading", leak::unload)
            .run()
    })
}
