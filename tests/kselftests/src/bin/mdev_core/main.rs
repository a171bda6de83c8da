// SPDX-License-Identifier: GPL-2.0

//! The core of mediated devices, with the kernel's sample drivers as parents: what it shows in
//! sysfs and says in events is compared with the stock module, line by line.

mod abi;
mod domain;
mod mtty;
mod races;

use siov_kselftests::kernel_module::{load_file, modprobe, unload};
use siov_kselftests::ktap::{self, Plan, Result};
use std::process::ExitCode;

/// The kernel's sample drivers, in the order in which they are loaded.
pub const SAMPLES: [&str; 3] = ["mtty", "mdpy", "mbochs"];

/// Loads the sample drivers over the core that is loaded.
pub fn load_samples() -> Result {
    for name in SAMPLES {
        load_file(format!("/siov/samples/{name}.ko"), "")?;
    }
    Ok(())
}

/// Unloads them again.
pub fn unload_samples() -> Result {
    for name in SAMPLES.iter().rev() {
        unload(name)?;
    }
    Ok(())
}

fn setup() -> Result {
    // What the samples need besides the core.
    modprobe("vfio", "")
}

fn main() -> ExitCode {
    ktap::run(setup, |()| {
        Plan::new(())
            .case(
                "sysfs, events and errors are those of the stock module",
                abi::compare,
            )
            .case("mtty works as its README says", mtty::readme)
            .case(
                "devices that are made and removed at once",
                races::create_remove,
            )
            .case(
                "the driver goes while devices are made",
                races::unload_often,
            )
            .case("a name that several want is given once", races::same_name)
            .case("mdevctl defines, starts, lists and stops", mtty::mdevctl)
            .case("a domain type is set before use only", domain::set)
            .case(
                "domain types of what is no mediated device",
                domain::strangers,
            )
            .case("the domain of a device", domain::domain)
            .run()
    })
}
