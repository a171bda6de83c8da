// SPDX-License-Identifier: GPL-2.0

//! Two interfaces of one device, with the same addresses and different data.

use crate::print_tables;
use crate::summary::{heading, Summary};
use anyhow::{ensure, Result};
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::{copy, fill, SiovTestdev};
use siov_kselftests::space::{page, Space, IOVA};
use siov_kselftests::PAGE;

const PAGES: u32 = 2;
const TEXTS: [&str; 2] = ["this belongs to the first", "and this to the second"];

/// What lies at the start of a page, as far as it is text.
fn text_in(space: &Space, index: usize) -> String {
    let bytes = space.buffer.memory.read(index * PAGE, 64);
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

pub fn show(summary: &mut Summary, log: &mut KernelLog) -> Result<()> {
    let ktest = Ktest::open()?;
    let function = Function::first(SIOV_TESTDEV)?;
    ktest.take(&function)?;
    heading(&format!(
        "auxiliary domains: interfaces of {function} are told apart by PASID"
    ));
    let device = SiovTestdev::new(function.clone())?;
    ktest.aux_enable(&function)?;
    let mut spaces = Vec::new();
    for (index, text) in (0..).zip(TEXTS) {
        let space = Space::new(&ktest, &function, PAGES)?;
        space.domain.aux_attach(&function)?;
        let pasid = space.domain.aux_id()?;
        space.buffer.memory.write(0, text.as_bytes());
        device.adi(index).enable(Some(pasid));
        spaces.push((index, space, pasid));
    }
    // Both at once, from the same address to the same address.
    for (index, _, _) in &spaces {
        device.adi(*index).submit(&copy(page(0), page(1), PAGE));
    }
    for (index, space, pasid) in &spaces {
        device.adi(*index).wait(1)?;
        let found = text_in(space, 1);
        println!("   interface {index}, PASID {pasid}: copied {IOVA:#x}: \"{found}\"");
        ensure!(found == TEXTS[*index as usize], "not its own data");
    }
    print_tables(&function, 12)?;
    summary.add(
        "two interfaces",
        &function,
        String::from("same address, each its own page"),
    );

    let (index, space, pasid) = &spaces[0];
    let beyond = page(PAGES as usize);
    heading(&format!(
        "and interface {index} writes to {beyond:#x}, where its domain has nothing"
    ));
    space.domain.aux_listen(&function)?;
    let fault = device.adi(*index).fault(&fill(beyond, 64, !0))?;
    let line = log.wait_for(&["vtd fault", function.requester()])?;
    println!("   {}", line.trim());
    let told = siov_kselftests::poll::until("the handler is told", || {
        let told = space.domain.aux_faults(&function)?;
        Ok((told.count > 0).then_some(told))
    })?;
    ensure!(told.pasid == *pasid && fault.pasid == Some(*pasid));
    println!(
        "   told to the driver that attached the domain: PASID {}, page {:#x}, reason {:#04x}",
        told.pasid, told.addr, told.reason
    );
    for (index, space, _) in &spaces {
        ensure!(
            text_in(space, 1) == TEXTS[*index as usize],
            "memory has changed"
        );
        device.adi(*index).drain()?;
    }
    println!("   the memory of both is unchanged");
    summary.add(
        "stray interface",
        &function,
        String::from("blocked, reported to its owner, nothing changed"),
    );
    drop(spaces);
    ktest.aux_disable(&function)
}
