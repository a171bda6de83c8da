// SPDX-License-Identifier: GPL-2.0

//! Each stream of DMA lands in its own address space.

use crate::context::Context;
use anyhow::ensure;
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::{prot, NO_PASID};
use siov_kselftests::pattern::{bytes, Words};
use siov_kselftests::siov_testdev::regs::CompletionStatus;
use siov_kselftests::siov_testdev::{compare, copy};
use siov_kselftests::space::{page, Space};
use siov_kselftests::PAGE;
use std::thread;

const ROUNDS: u64 = 4;

/// The same addresses in each of 64 auxiliary domains, from two processors, while mappings change.
pub fn many(c: &mut Context) -> Result {
    c.first.reset();
    c.enabled(|c| {
        ensure!(c.first.adis() == 64);
        let mut spaces = Vec::new();
        for index in 0..c.first.adis() {
            let (space, pasid) = c.attached(4)?;
            c.first.adi(index).enable(Some(pasid));
            spaces.push(space);
        }
        let (low, high) = spaces.split_at(spaces.len() / 2);
        let c = &*c;
        thread::scope(|scope| {
            let other = scope.spawn(|| drive(c, low.len() as u32, high));
            drive(c, 0, low)?;
            other
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        })?;
        c.first.reset();
        Ok(())
    })
}

/// Drives the interfaces from number `first` on, one for each of `spaces`.
fn drive(c: &Context, first: u32, spaces: &[Space]) -> Result {
    let seed = |index: usize, round| u64::from(first) + index as u64 + 1000 * round;
    let mut words = Words::new(first.into());
    for round in 0..ROUNDS {
        for (index, space) in spaces.iter().enumerate() {
            space.fill(0, seed(index, round));
            space.buffer.memory.write(PAGE, &[0; PAGE]);
            let adi = c.first.adi(first + index as u32);
            adi.submit(&copy(page(0), page(1), PAGE));
            // A neighbour's tables change meanwhile, and those of this one.
            let other = &spaces[words.below(spaces.len() as u64) as usize];
            for space in [other, space] {
                let elsewhere = page(1 << 12);
                let phys = space.buffer.phys;
                space.domain.map(elsewhere, phys, PAGE, prot::READ)?;
                space.domain.unmap(elsewhere, PAGE)?;
            }
        }
        for (index, space) in spaces.iter().enumerate() {
            let adi = c.first.adi(first + index as u32);
            let completion = adi.wait(2 * round + 1)?;
            ensure!(
                completion.status == CompletionStatus::Success,
                "{completion:x?}"
            );
            // The device compares what it sees, and we what memory holds: every byte.
            adi.succeed(&compare(page(0), page(1), PAGE))?;
            space.expect(1, &bytes(PAGE, seed(index, round)))?;
        }
    }
    Ok(())
}

/// One domain translates one device's PASID, and another device's requests without any.
pub fn both_modes(c: &mut Context) -> Result {
    c.enabled(|c| {
        let (space, pasid) = c.attached(4)?;
        space.domain.attach(&c.second.function, NO_PASID)?;
        let (tagged, plain) = (c.first.adi(0), c.second.adi(0));
        tagged.enable(Some(pasid));
        plain.enable_untagged();
        let data = space.fill(0, 1);
        tagged.succeed(&copy(page(0), page(1), PAGE))?;
        space.expect(1, &data)?;
        plain.succeed(&copy(page(1), page(2), PAGE))?;
        space.expect(2, &data)?;

        // Each ends on its own.
        tagged.drain()?;
        space.domain.aux_detach(&c.first.function)?;
        plain.succeed(&copy(page(0), page(3), PAGE))?;
        space.expect(3, &data)?;
        plain.drain()?;
        space.domain.detach(&c.second.function, NO_PASID)?;
        space.domain.aux_attach(&c.first.function)?;
        tagged.enable(Some(space.domain.aux_id()?));
        space.buffer.memory.write(PAGE, &[0; PAGE]);
        tagged.succeed(&copy(page(0), page(1), PAGE))?;
        space.expect(1, &data)?;
        tagged.drain()
    })
}
