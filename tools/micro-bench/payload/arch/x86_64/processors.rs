// SPDX-License-Identifier: GPL-2.0

//! How many processors there are, and how the second one is started (Intel SDM volume 3, 10.4).

use super::apic::Apic;
use super::boot;
use super::cpu::counter;
use super::port::{FW_CFG_DATA, FW_CFG_SELECT};
use micro_bench_model::time::Frequency;

/// QEMU's firmware configuration device: items, and what the first one reads as.
const SIGNATURE: u16 = 0x0000;
const NB_CPUS: u16 = 0x0005;
const SIGNATURE_VALUE: [u8; 4] = *b"QEMU";

fn fw_cfg(item: u16) -> [u8; 4] {
    FW_CFG_SELECT.write16(item);
    core::array::from_fn(|_| FW_CFG_DATA.read8())
}

/// As QEMU tells; one where nobody does.
pub fn count() -> u64 {
    if fw_cfg(SIGNATURE) != SIGNATURE_VALUE {
        return 1;
    }
    let [low, high, ..] = fw_cfg(NB_CPUS);
    u64::from(u16::from_le_bytes([low, high]))
}

fn delay(clock: Frequency, milliseconds: u64) {
    let (start, ticks) = (counter(), clock.ticks_of_ms(milliseconds));
    while counter().wrapping_sub(start) < ticks {}
}

/// Starts all other processors. One of them comes to Rust.
pub fn start(apic: &Apic, clock: Frequency) {
    boot::install_startup();
    apic.reset_others();
    delay(clock, 10);
    for _ in 0..2 {
        apic.start_others(boot::STARTUP_PAGE);
        delay(clock, 1);
    }
}
