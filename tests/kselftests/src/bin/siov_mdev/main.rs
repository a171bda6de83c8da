// SPDX-License-Identifier: GPL-2.0

//! ADIs of siov-testdev as mediated devices: what their users can do, what they cannot, and what
//! becomes of users and devices that vanish.

mod context;
mod faults;
mod few;
mod hostile;
mod leave;
mod mediated;
mod pci;
mod plug;
mod process;
mod registers;
mod reset;
mod tracking;
mod work;

use crate::context::Context;
use siov_kselftests::ktap::{self, Plan, Result};
use std::process::ExitCode;

fn plan() -> ExitCode {
    ktap::run(Context::new, |context| {
        Plan::new(context)
            .case("types, domain type and limits", pci::types)
            .case("the function that a user sees", pci::function)
            .case("regions", pci::regions)
            .case("interrupts that make no sense", hostile::interrupts)
            .case("places that do not exist", hostile::places)
            .case("copy, fill, checksum, compare", work::operations)
            .case("a ring, and completion records", work::ring)
            .case("completion interrupts by eventfd", work::interrupts)
            .case("no work without bus mastering", work::bus_master)
            .case("a reset", work::reset)
            .case("two users, one address, two memories", work::isolation)
            .case("three devices of one container", work::shared)
            .case(
                "a PCI device and three ADIs in one container",
                work::beside_pci,
            )
            .case(
                "registers of an ADI that is another's by now",
                registers::tenants,
            )
            .case(
                "registers of a device that does not answer",
                registers::disabled,
            )
            .case("registers between memory", registers::between_memory)
            .case("registers of a user that is killed", registers::killed)
            .case("registers that were somewhere else", registers::moved)
            .case(
                "registers of a device of another container",
                registers::foreign,
            )
            .case("a device that another process brings", registers::joined)
            .case("an ADI in software", mediated::operations)
            .case("faults of an ADI in software", mediated::faults)
            .case("pages that an ADI in software pins", mediated::pins)
            .case(
                "unmapping while another device comes and goes",
                mediated::crowded,
            )
            .case("unmapping while the device works there", mediated::busy)
            .case("both kinds in one container", mediated::beside)
            .case(
                "a user that is killed in the middle of work",
                hostile::endless,
            )
            .case("a fault reaches its user", faults::delivered)
            .case("a fault reaches nobody else", faults::private)
            .case("more faults than the region holds", faults::many)
            .case(
                "a write to the interrupt window raises nothing",
                faults::window,
            )
            .case("a user that forks", process::forks)
            .case("a user that runs another program", process::executes)
            .case(
                "a user that is killed while it maps",
                process::killed_while_mapping,
            )
            .case("a user beyond its RLIMIT_MEMLOCK", process::limited)
            .case(
                "a user that is killed while the device works",
                leave::killed,
            )
            .case(
                "requests while the last group leaves its container",
                leave::deprived,
            )
            .case(
                "a request that sleeps while its driver is unloaded",
                leave::asleep,
            )
            .case("a device that is removed while it is open", leave::removed)
            .case("a group whose device and parent go", leave::group_stays)
            .case(
                "the parent goes while sixteen devices are open",
                leave::parent,
            )
            .run()
    })
}

/// What the cases have other processes do; `None` for words that are not for those.
fn elsewhere(words: &[&str]) -> Option<Result> {
    Some(match words {
        ["work", uuid] => leave::work(uuid),
        ["exec", uuid] => process::exec(uuid, false),
        ["exec-handing-down", uuid] => process::exec(uuid, true),
        ["reopen", uuid] => process::reopen(uuid),
        ["handed-down", container, device] => process::handed_down(container, device),
        ["limited", uuid] => process::map_beyond_limit(uuid),
        ["endless", uuid] => hostile::work_for_ever(uuid),
        _ => return None,
    })
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match (elsewhere(&words), words.as_slice()) {
        (Some(Err(error)), _) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        (Some(Ok(())), _) => {
            println!("done");
            ExitCode::SUCCESS
        }
        (None, ["plug"]) => plug::plan(),
        (None, ["few"]) => few::plan(),
        (None, ["reset"]) => reset::plan(),
        (None, _) => plan(),
    }
}

/// Whether a word is on the command line.
pub fn flag(word: &str) -> bool {
    std::env::args().any(|argument| argument == word)
}

/// A container of its own for one device.
pub fn alone(mdev: &siov_kselftests::mdev::Mdev) -> Result<context::User> {
    context::User::new(mdev)
}
