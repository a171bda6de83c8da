// SPDX-License-Identifier: GPL-2.0

//! Random requests: the same ones to both drivers, which must answer alike.

use crate::raw::*;
use crate::Devices;
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::PAGE_2M;

/// A generator of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

const PAGES: u64 = 96;
const AT: u64 = 0xfe00_0000;
/// More than any mapping reaches.
const ARENA: usize = 64 << 20;

/// Requests of one seed, to a container with some of the devices.
fn run(devices: &Devices, seed: u64, requests: usize) -> Result<Vec<String>> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kind = if random.one_in(5) { TYPE1 } else { TYPE1V2 };
    let nodes = [
        &devices.functions[0],
        &devices.emulated[0],
        &devices.functions[1],
        &devices.emulated[1],
    ];
    let start = random.below(4) as usize;
    let mut s = Session::with(&[nodes[start]], kind)?;
    let mut present = vec![start];
    s.note(format!("seed {seed}: kind {kind}, device {start}"));

    // What lies behind is not ours to have written to.
    let small = Mapping::fresh(ARENA)?;
    let used = PAGES as usize * PAGE as usize;
    small.protect(used, ARENA - used, libc::PROT_NONE)?;
    for page in 0..PAGES {
        small.write64((page * PAGE) as usize, page);
    }
    let huge = Mapping::huge_pages(2 * PAGE_2M, 21)?;
    for number in 0..requests {
        let mut page = AT + random.below(PAGES) * PAGE;
        let mut size = (1 + random.below(8) * random.below(4)) * PAGE;
        if random.one_in(40) {
            page += random.below(PAGE);
        }
        if random.one_in(40) {
            size ^= 1 << random.below(64);
        }
        match random.below(16) {
            0..=4 => {
                let flags = if random.one_in(12) {
                    random.below(9)
                } else {
                    1 + random.below(3)
                };
                let memory = if random.one_in(4) { &huge } else { &small };
                let base = memory.address();
                let vaddr = base + random.below(PAGES) * PAGE;
                s.map(flags as u32, vaddr, base, page, size);
            }
            5..=7 => {
                let flags = if random.one_in(10) {
                    random.below(8) as u32 & !1
                } else {
                    0
                };
                if flags & UNMAP_ALL != 0 && !random.one_in(4) {
                    s.unmap(flags, 0, 0);
                } else {
                    s.unmap(flags, page, size);
                }
            }
            8 => {
                s.dirty(8, 1 + random.below(2) as u32);
            }
            9 => {
                s.bitmap(random.one_in(2), AT, PAGES * PAGE, 2, 0);
            }
            10 => {
                let words = random.below(3) as usize;
                s.bitmap(random.one_in(2), page, size, words, 0);
            }
            11 | 12 => {
                let emulated: Vec<_> = (0..present.len())
                    .filter(|i| present[*i] % 2 == 1)
                    .collect();
                if let Some(device) = emulated.first().copied() {
                    match random.below(3) {
                        0 => {
                            let count = 1 + random.below(6);
                            s.pin(device, page & !(PAGE - 1), count, random.below(4) as u32);
                        }
                        1 => s.unpin(device, page & !(PAGE - 1), 1 + random.below(6)),
                        _ => {
                            let value = random.one_in(2).then_some(seed as u8);
                            s.rw(
                                device,
                                page + random.below(PAGE),
                                1 + random.below(2 * PAGE),
                                value,
                            );
                        }
                    }
                }
            }
            13 => {
                let next = random.below(4) as usize;
                if present.len() < 4 && !present.contains(&next) {
                    let mut group = Opened::new(nodes[next])?;
                    let joined = group.join(&s.container);
                    let opened = group.open_device();
                    s.note(format!(
                        "device {next} joins: {}, {}",
                        show(joined),
                        show(opened)
                    ));
                    if joined.is_ok() {
                        present.push(next);
                        s.opened.push(group);
                    }
                }
            }
            14 if present.len() > 1 && random.one_in(2) => {
                let index = random.below(present.len() as u64) as usize;
                let mut group = s.opened.remove(index);
                let left = group.leave();
                s.note(format!(
                    "device {} leaves: {}",
                    present.remove(index),
                    show(left)
                ));
            }
            14 => {
                s.info(1024);
            }
            _ => {
                s.map(MAP_VADDR, small.address(), small.address(), page, size);
            }
        }
        if number % 8 == 0 {
            s.account()?;
        }
    }
    s.account()?;
    Ok(s.lines)
}

/// Many seeds, a few hundred requests each.
pub fn requests(devices: &Devices) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for seed in 1..=devices.seeds {
        lines.extend(run(devices, seed, 250)?);
    }
    Ok(lines)
}
