// SPDX-License-Identifier: GPL-2.0

//! Work of siov-testdev that is under way: each step of it takes so long that it does not end by
//! itself before a case does.

use crate::ktap::Result;
use crate::pattern::expect_equal;
use crate::poll;
use crate::siov_testdev::regs::privileged::Status;
use crate::siov_testdev::{fill, recorded, Adi};
use crate::space::{page, Space};
use crate::PAGE;
use anyhow::ensure;

const MILLISECOND: u64 = 1_000_000;

/// Pages of the destination.
pub const PAGES: usize = 12;

/// Has an interface write twelve pages, one each 30 ms, and waits until it has begun.
pub fn begin(adi: Adi<'_>, space: &Space, pasid: u32) -> Result {
    adi.enable(Some(pasid));
    adi.set_delay(30 * MILLISECOND);
    space.buffer.memory.zero();
    adi.submit(&recorded(fill(page(0), PAGES * PAGE, !0), page(15)));
    poll::until_true("the first page is written", || Ok(written(space) > 0))?;
    ensure!(adi.status() == Status::ENABLED | Status::ACTIVE);
    Ok(())
}

/// Pages that have been written, all of them from the start and completely.
pub fn written(space: &Space) -> usize {
    (0..PAGES)
        .take_while(|index| space.buffer.memory.read(index * PAGE + PAGE - 1, 1) == [0xff])
        .count()
}

/// Checks that the device writes nothing for ten times as long as a step takes.
pub fn expect_silence(space: &Space) -> Result {
    let before = space.buffer.memory.read(0, space.buffer.len());
    std::thread::sleep(std::time::Duration::from_millis(300));
    let after = space.buffer.memory.read(0, space.buffer.len());
    expect_equal("memory", &after, &before)
}
