// SPDX-License-Identifier: GPL-2.0

//! A PCI driver that asks for what it cannot have, as safe code may, for tests: each demand fails
//! with the error that the documentation names, or the function is not bound.

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use linux::mmio::Registers;
use linux::pci::driver::{Driver, Function, Handler, Interrupt, Registration, Vectors};
use linux::pci::DeviceExt;

module! {
    type: Module,
    name: "pci_rust",
    authors: ["siov-rs developers"],
    description: "A PCI driver that asks for what it cannot have, for tests",
    license: "GPL",
}

/// QEMU's virtio RNG with the old interface as well: ports in BAR 0, the MSI-X table in BAR 1,
/// registers in BAR 4.
struct Rng {
    left: Arc<Left>,
}

/// Vectors that outlive the binding of the driver.
#[pin_data]
struct Left {
    #[pin]
    vectors: Mutex<Option<Arc<Vectors>>>,
}

struct Idle;

impl Handler for Idle {
    fn handle(&self) {}
}

struct Bound {
    _interrupt: Interrupt<Idle>,
    _registers: Registers,
}

/// `EINVAL`, and a line in the log that says what is wrong, unless `is` is as it should be.
fn expect(what: &str, is: bool) -> Result {
    if !is {
        pr_err!("wrong: {}\n", what);
        return Err(EINVAL);
    }
    Ok(())
}

fn bars(function: &Function<'_>) -> Result<Registers> {
    let ports = function.bar(0).err() == Some(ENODEV);
    expect("the address of a BAR of ports", ports)?;
    let ports = function.map_bar(0, c"pci_rust").err() == Some(ENODEV);
    expect("registers in ports", ports)?;
    for index in [3, 6, 11, 12, 1 << 31, usize::MAX] {
        expect("a BAR that is none", function.bar(index).is_err())?;
    }
    let registers = function.map_bar(4, c"pci_rust")?;
    let again = function.map_bar(4, c"pci_rust again").err() == Some(EBUSY);
    expect("a BAR that is claimed", again)?;
    Ok(registers)
}

/// Registers that are outside, in part or in whole, or not aligned.
fn outside(registers: &Registers, len: u64) -> Result {
    let len = usize::try_from(len)?;
    for offset in [len, len - 2, 1, usize::MAX, usize::MAX - 3] {
        registers.write32(offset, 0);
        let ones = registers.read32(offset) == u32::MAX && registers.read64(offset) == u64::MAX;
        expect("what is outside of the registers", ones)?;
    }
    let pages = registers.pages(len as u64, 4096).is_err() && registers.pages(0, !0).is_err();
    expect("pages outside of the registers", pages)
}

fn vectors(function: &Function<'_>) -> Result<Arc<Vectors>> {
    let many = function.alloc_vectors(2048).err() == Some(ENOSPC);
    expect("more vectors than there are", many)?;
    let vectors = function.alloc_vectors(2)?;
    let again = function.alloc_vectors(1).err() == Some(EBUSY);
    expect("vectors for the second time", again)?;
    Ok(vectors)
}

fn interrupt(vectors: &Arc<Vectors>, index: u32) -> Result<Interrupt<Idle>> {
    Interrupt::new(vectors, index, Arc::new(Idle, GFP_KERNEL)?, c"pci_rust")
}

impl Driver for Rng {
    type Data = Bound;
    const NAME: &'static CStr = c"pci_rust";
    const ID: (u16, u16) = (0x1af4, 0x1005);

    fn probe(&self, function: &Function<'_>) -> Result<Pin<KBox<Bound>>> {
        function.enable()?;
        let registers = bars(function)?;
        outside(&registers, function.bar(4)?.1)?;
        let vectors = vectors(function)?;
        let none = interrupt(&vectors, 2).err() == Some(EINVAL);
        expect("an interrupt without a vector", none)?;
        let first = interrupt(&vectors, 0)?;
        let again = interrupt(&vectors, 0).err() == Some(EBUSY);
        expect("an interrupt for the second time", again)?;
        // Not bound with it, but it is still there: unbinding ends it.
        core::mem::forget(interrupt(&vectors, 1)?);
        *self.left.vectors.lock() = Some(vectors);
        dev_info!(function.as_dev(), "has what it can have\n");
        let bound = Bound {
            _interrupt: first,
            _registers: registers,
        };
        Ok(KBox::pin(bound, GFP_KERNEL)?)
    }
}

struct Module {
    registration: Option<Pin<KBox<Registration<Rng>>>>,
    left: Arc<Left>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let left = pin_init!(Left {
            vectors <- new_mutex!(None, "pci_rust"),
        });
        let left = Arc::pin_init(left, GFP_KERNEL)?;
        let rng = Rng { left: left.clone() };
        Ok(Self {
            registration: Some(Registration::new(rng, module)?),
            left,
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        drop(self.registration.take());
        let Some(vectors) = self.left.vectors.lock().take() else {
            return;
        };
        let gone = interrupt(&vectors, 0).err() == Some(ENODEV);
        if expect("an interrupt of a driver that is unbound", gone).is_ok() {
            pr_info!("has nothing any more\n");
        }
    }
}
