// SPDX-License-Identifier: GPL-2.0

//! Every operation reaches the domain that the interface's PASID is attached to.

use crate::context::Context;
use anyhow::{ensure, Context as _};
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::prot;
use siov_kselftests::pattern::{bytes, Words};
use siov_kselftests::siov_testdev::regs::{user, Completion, CompletionStatus, Descriptor};
use siov_kselftests::siov_testdev::{compare, copy, crc32c, fill, recorded};
use siov_kselftests::space::{page, Space, IOVA};
use siov_kselftests::PAGE;
use std::thread;

/// CRC32C bit by bit, to compare with the device's.
fn checksum(data: &[u8]) -> u32 {
    let crc = data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    });
    !crc
}

fn record_in(space: &Space, at: usize) -> Result<Completion> {
    let found = space.buffer.memory.read(at, Completion::BYTES);
    let found = found.first_chunk().context("short record")?;
    Completion::from_bytes(found).context("no completion record")
}

pub fn operations(c: &mut Context) -> Result {
    let adi = c.root.adi(3);
    let space = c.space(77, 8)?;
    adi.enable(Some(77));
    let data = space.fill(0, 1);

    // Neither aligned nor in one page.
    let copied = adi.succeed(&recorded(
        copy(page(0) + 5, page(1) + 4090, 4000),
        page(7) + 32,
    ))?;
    ensure!(copied.bytes == 4000);
    let mut expected = vec![0; 2 * PAGE];
    expected[4090..4090 + 4000].copy_from_slice(&data[5..4005]);
    space.expect(1, &expected[..PAGE])?;
    space.expect(2, &expected[PAGE..])?;
    ensure!(record_in(&space, 7 * PAGE + 32)? == copied);

    adi.succeed(&fill(page(3) + 1, PAGE, 0x0807_0605_0403_0201))?;
    let filled: Vec<u8> = (0..PAGE).map(|at| (at % 8) as u8 + 1).collect();
    space.expect(3, &[&[0], &filled[..PAGE - 1]].concat())?;

    let crc = adi.succeed(&crc32c(page(0) + 1, PAGE - 1))?;
    ensure!(crc.result == u64::from(checksum(&data[1..])), "{crc:x?}");

    space.fill(4, 1);
    adi.succeed(&compare(page(0), page(4), PAGE))?;
    space.buffer.memory.write(4 * PAGE + 1234, &[!data[1234]]);
    let difference = adi.execute(&compare(page(0), page(4), PAGE))?;
    ensure!(difference.status == CompletionStatus::Mismatch && difference.result == 1234);

    adi.drain()
}

pub fn ring(c: &mut Context) -> Result {
    const ORDER: u32 = 6;
    let adi = c.root.adi(9);
    let space = c.space(0xf_fffe, 8)?;
    adi.enable(Some(0xf_fffe));
    let data = space.fill(1, 2);
    // Each descriptor moves 16 bytes from page 1 to page 2, backwards.
    let count = 1_usize << ORDER;
    for index in 0..count {
        let (from, to) = (16 * index, 16 * (count - 1 - index));
        let descriptor = copy(page(1) + from as u64, page(2) + to as u64, 16);
        let descriptor = Descriptor {
            tag: index as u32,
            ..recorded(descriptor, page(3) + 32 * index as u64)
        };
        let at = Descriptor::BYTES * index;
        space.buffer.memory.write(at, &descriptor.to_bytes());
    }
    adi.set_user64(user::offset::RING_BASE, IOVA);
    adi.set_user32(user::offset::RING_ORDER, ORDER);
    let before = adi.completed();
    adi.set_user32(user::offset::RING_TAIL, count as u32 - 1);
    adi.wait(before + count as u64 - 1)?;
    // The last one takes the ring around.
    adi.set_user32(user::offset::RING_TAIL, 0);
    adi.wait(before + count as u64)?;
    ensure!(adi.user32(user::offset::RING_HEAD) == 0);

    let mut expected = vec![0; 16 * count];
    for (index, chunk) in expected.chunks_exact_mut(16).rev().enumerate() {
        chunk.copy_from_slice(&data[16 * index..][..16]);
    }
    space.expect(2, &expected)?;
    for index in 0..count {
        let record = record_in(&space, 3 * PAGE + 32 * index)?;
        ensure!(record.tag == index as u32 && record.status == CompletionStatus::Success);
    }
    adi.drain()
}

/// The same addresses in every interface, from two processors, while mappings change.
pub fn many_spaces(c: &mut Context) -> Result {
    const ROUNDS: u64 = 4;
    // Completions count from 0 on.
    c.root.reset();
    let mut spaces = Vec::new();
    for adi in 0..c.root.adis() {
        spaces.push(c.space(1000 + adi, 4)?);
        c.root.adi(adi).enable(Some(1000 + adi));
    }
    let device = &c.root;
    let half = |first: u32, spaces: &[Space]| -> Result {
        let mut words = Words::new(first.into());
        for round in 0..ROUNDS {
            for (index, space) in spaces.iter().enumerate() {
                space.fill(0, u64::from(first) + index as u64 + 1000 * round);
                space.buffer.memory.write(PAGE, &[0; PAGE]);
                let adi = device.adi(first + index as u32);
                adi.submit(&recorded(copy(page(0), page(1), PAGE), page(2)));
                // A neighbour's tables change meanwhile.
                let other = &spaces[words.below(spaces.len() as u64) as usize];
                let elsewhere = page(1 << 12);
                other
                    .domain
                    .map(elsewhere, other.buffer.phys, PAGE, prot::READ)?;
                other.domain.unmap(elsewhere, PAGE)?;
            }
            for (index, space) in spaces.iter().enumerate() {
                let adi = device.adi(first + index as u32);
                let completion = adi.wait(round + 1)?;
                ensure!(
                    completion.status == CompletionStatus::Success,
                    "{completion:x?}"
                );
                ensure!(record_in(space, 2 * PAGE)? == completion);
                space.expect(
                    1,
                    &bytes(PAGE, u64::from(first) + index as u64 + 1000 * round),
                )?;
            }
        }
        Ok(())
    };
    let (low, high) = spaces.split_at(spaces.len() / 2);
    let middle = low.len() as u32;
    thread::scope(|scope| {
        let other = scope.spawn(|| half(middle, high));
        half(0, low)?;
        other
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
    })?;
    device.reset();
    Ok(())
}

/// Two PASIDs of one device and one of another see the same pages.
pub fn shared_domain(c: &mut Context) -> Result {
    let space = c.space(20, 4)?;
    space.domain.attach(&c.root.function, 21)?;
    let mut adis = vec![(c.root.adi(0), 20), (c.root.adi(1), 21)];
    if let Some(other) = &c.behind_port {
        space.domain.attach(&other.function, 20)?;
        adis.push((other.adi(0), 20));
    }
    for (seed, (adi, pasid)) in adis.into_iter().enumerate() {
        adi.enable(Some(pasid));
        let data = space.fill(0, seed as u64);
        space.buffer.memory.write(PAGE, &[0; PAGE]);
        adi.succeed(&copy(page(0), page(1), PAGE))?;
        space.expect(1, &data)?;
        adi.drain()?;
    }
    Ok(())
}

/// From one request to the next, another domain.
pub fn replaced_domain(c: &mut Context) -> Result {
    let old = c.space(30, 4)?;
    let new = c.detached_space(4)?;
    let adi = c.root.adi(5);
    adi.enable(Some(30));
    let (first, second) = (old.fill(0, 1), new.fill(0, 2));
    adi.succeed(&copy(page(0), page(1), PAGE))?;
    old.expect(1, &first)?;
    new.domain.replace(&c.root.function, 30)?;
    old.buffer.memory.write(PAGE, &[0; PAGE]);
    adi.succeed(&copy(page(0), page(1), PAGE))?;
    new.expect(1, &second)?;
    old.expect(1, &[0; PAGE])?;
    adi.drain()
}
