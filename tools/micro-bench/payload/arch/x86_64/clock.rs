// SPDX-License-Identifier: GPL-2.0

//! Rate of the time-stamp counter.

use super::cpu::{counter, cpuid};
use super::port::{PIT_CHANNEL2, PIT_COMMAND, PIT_GATE};
use micro_bench_model::time::Frequency;

/// Rate of the 8254.
const PIT_HZ: u64 = 1_193_182;
/// 10 ms.
const PIT_COUNT: u16 = 11_932;
const MHZ: u64 = 1_000_000;
/// Reads of the timer's output, each some 100 ns at least, until the timer is believed not to be
/// there.
const PATIENCE: u32 = 10_000_000;

/// As the processor or hypervisor tells, or else measured by the timer.
pub fn find() -> Option<Frequency> {
    Frequency::new(by_processor().or_else(by_hypervisor).or_else(by_timer)?)
}

/// Leaf 15H (Intel SDM): ratio to the crystal, and its rate.
fn by_processor() -> Option<u64> {
    if cpuid(0).eax < 0x15 {
        return None;
    }
    let leaf = cpuid(0x15);
    let rate = u64::from(leaf.ecx) * u64::from(leaf.ebx);
    rate.checked_div(u64::from(leaf.eax)).filter(|&hz| hz > 0)
}

/// Leaf 40000010H, which VMware introduced and KVM's user space offers: kHz.
fn by_hypervisor() -> Option<u64> {
    const HYPERVISOR: u32 = 1 << 31;
    const BASE: u32 = 0x4000_0000;
    const FREQUENCIES: u32 = 0x4000_0010;
    if cpuid(1).ecx & HYPERVISOR == 0 || cpuid(BASE).eax < FREQUENCIES {
        return None;
    }
    Some(u64::from(cpuid(FREQUENCIES).eax) * 1000).filter(|&hz| hz > 0)
}

/// Ticks while channel 2 of the timer counts 10 ms down once, rounded to MHz: its resolution of one
/// microsecond has no more to say.
fn by_timer() -> Option<u64> {
    const GATE: u8 = 1;
    const SPEAKER: u8 = 1 << 1;
    const OUTPUT: u8 = 1 << 5;
    /// Channel 2, low and high byte, one-shot by gate (mode 0), binary.
    const ONE_SHOT: u8 = 0xb0;

    let [low, high] = PIT_COUNT.to_le_bytes();
    PIT_GATE.write8(PIT_GATE.read8() & !SPEAKER | GATE);
    PIT_COMMAND.write8(ONE_SHOT);
    PIT_CHANNEL2.write8(low);
    PIT_CHANNEL2.write8(high);
    let start = counter();
    if PIT_GATE.read8() & OUTPUT != 0 || !(0..PATIENCE).any(|_| PIT_GATE.read8() & OUTPUT != 0) {
        return None;
    }
    let hz = (counter() - start) * PIT_HZ / u64::from(PIT_COUNT);
    Some((hz + MHZ / 2) / MHZ * MHZ)
}
