// SPDX-License-Identifier: GPL-2.0

//! siov-testdev over an IOMMU that takes PASIDs: what a guest sees of the device, and that each of
//! its interfaces reaches the domain that its PASID is attached to, and nothing else.

//!
//! The first argument chooses the cases: none or `--ats` for a machine whose IOMMU takes PASIDs,
//! `plug` for one whose devices come by the monitor, `bare` for one without such an IOMMU.

mod bare;
mod context;
mod interrupts;
mod isolation;
mod memory;
mod plug;
mod registers;
mod teardown;

use context::Context;
use siov_kselftests::ktap::{self, Plan};
use std::process::ExitCode;

fn with_pasids() -> ExitCode {
    ktap::run(Context::new, |context| {
        Plan::new(context)
            .case("registers", registers::identification)
            .case("operations with a PASID", memory::operations)
            .case("descriptor ring", memory::ring)
            .case("64 address spaces at once", memory::many_spaces)
            .case("one domain for several PASIDs", memory::shared_domain)
            .case("replaced domain", memory::replaced_domain)
            .case("unmapped and read-only pages", isolation::unmapped)
            .case("PASIDs that are not attached", isolation::unattached)
            .case("requests without PASID", isolation::untagged)
            .case("interrupt range with a PASID", isolation::interrupt_range)
            .case("interrupts", interrupts::vectors)
            .case("drain, abort and reset in flight", teardown::commands)
            .case("detach in flight", teardown::detach)
            .case("function level reset in flight", teardown::function_reset)
            .case("unplug in flight", teardown::unplug)
            .run()
    })
}

fn plug() -> ExitCode {
    ktap::run(plug::Context::new, |context| {
        Plan::new(context)
            .case("properties", plug::properties)
            .case("properties that are refused", plug::refused)
            .case("plug and unplug in flight", plug::rounds)
            .case("two devices", plug::two)
            .case("migration", plug::migration)
            .run()
    })
}

fn bare() -> ExitCode {
    ktap::run(bare::Context::new, |context| {
        Plan::new(context)
            .case("requests without PASID", bare::untagged)
            .case("requests with a PASID", bare::tagged)
            .case("DMA to registers", bare::registers)
            .run()
    })
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("plug") => plug(),
        Some("bare") => bare(),
        _ => with_pasids(),
    }
}
