// SPDX-License-Identifier: GPL-2.0

//! MSI-X. A message is a write to an address, so a page takes them: no handler is needed, and each
//! one shows which vector it came from.

use crate::context::Context;
use anyhow::{ensure, Context as _};
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::NO_PASID;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::Function;
use siov_kselftests::poll;
use siov_kselftests::siov_testdev::fill;
use siov_kselftests::siov_testdev::regs::{
    global, pci, user, Descriptor, DescriptorFlags, FaultSource,
};
use siov_kselftests::space::{expect_blocked, page, IOVA};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// An MSI-X capability, used without the kernel's knowledge.
struct Msix {
    config: File,
    control: u64,
    table: Mapping,
}

const CAPABILITIES: u64 = 0x34;
const CAPABILITY_MSIX: u8 = 0x11;
const ENABLE: u16 = 1 << 15;

impl Msix {
    fn of(function: &Function) -> Result<Self> {
        let path = function.path("config");
        let config = File::options().read(true).write(true).open(path)?;
        let byte = |at: u64| -> Result<u8> {
            let mut byte = [0];
            config.read_exact_at(&mut byte, at)?;
            Ok(byte[0])
        };
        let mut at = u64::from(byte(CAPABILITIES)?);
        while at != 0 && byte(at)? != CAPABILITY_MSIX {
            at = u64::from(byte(at + 1)?);
        }
        ensure!(at != 0, "{function} has no MSI-X capability");
        let table = function.map_bar(pci::BAR_MSIX as u32)?;
        Ok(Self {
            control: at + 2,
            config,
            table,
        })
    }

    fn vectors(&self) -> Result<u32> {
        Ok(u32::from(self.control()? & 0x7ff) + 1)
    }

    fn control(&self) -> Result<u16> {
        let mut word = [0; 2];
        self.config.read_exact_at(&mut word, self.control)?;
        Ok(u16::from_le_bytes(word))
    }

    fn enable(&self, on: bool) -> Result {
        let control = if on {
            self.control()? | ENABLE
        } else {
            self.control()? & !ENABLE
        };
        let word = control.to_le_bytes();
        self.config
            .write_all_at(&word, self.control)
            .context("MSI-X control")
    }

    /// Makes a vector write its number, plus one, to a place of its own from `base` on.
    fn route(&self, vector: u32, base: u64) {
        let entry = 16 * vector as usize;
        let address = base + 4 * u64::from(vector);
        self.table.write32(entry, address as u32);
        self.table.write32(entry + 4, (address >> 32) as u32);
        self.table.write32(entry + 8, vector + 1);
        self.table.write32(entry + 12, 0);
    }
}

pub fn vectors(c: &mut Context) -> Result {
    let own = c.space(NO_PASID, 2)?;
    let _tagged = c.space(80, 2)?;
    let msix = Msix::of(&c.root.function)?;
    ensure!(msix.vectors()? == c.root.adis() + 1);
    for vector in 0..=c.root.adis() {
        msix.route(vector, IOVA);
    }
    msix.enable(true)?;
    let told = |vector: u32| own.buffer.memory.read32(4 * vector as usize);
    let wait = |vector: u32| {
        poll::until_true(&format!("vector {vector}"), || Ok(told(vector) != 0))?;
        ensure!(
            told(vector) == vector + 1,
            "vector {vector}: {}",
            told(vector)
        );
        own.buffer.memory.write32(4 * vector as usize, 0);
        Ok(())
    };

    let nop = Descriptor {
        flags: DescriptorFlags::INTERRUPT,
        ..Descriptor::NOP
    };
    for index in [0, 17, c.root.adis() - 1] {
        let adi = c.root.adi(index);
        adi.enable(Some(80));
        adi.succeed(&nop)?;
        ensure!(
            told(pci::vector_of(index)) == 0,
            "a masked event interrupts"
        );
        adi.set_user32(user::offset::INTERRUPT_ENABLE, 1);
        wait(pci::vector_of(index))?;
        adi.succeed(&nop)?;
        wait(pci::vector_of(index))?;
        adi.drain()?;
    }

    c.root.set_global32(
        global::offset::CONTROL,
        global::Control::ERROR_INTERRUPT.bits(),
    );
    let adi = c.root.adi(5);
    adi.enable(Some(80));
    expect_blocked(
        adi,
        Some(80),
        &fill(page(9), 8, 0),
        FaultSource::Destination,
        page(9),
    )?;
    wait(pci::VECTOR_ERROR)?;
    let strangers = own
        .buffer
        .memory
        .read(0, 4096)
        .iter()
        .filter(|byte| **byte != 0)
        .count();
    ensure!(
        strangers == 0,
        "{strangers} bytes written by vectors that had no reason"
    );
    msix.enable(false)?;
    c.root.reset();
    Ok(())
}
