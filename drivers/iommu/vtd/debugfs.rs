// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/vtd/<unit>/`: what the hardware says and what the tables hold. Described in
//! `Documentation/ABI/debugfs-vtd`.

use crate::device::Device;
use crate::release::Registrations;
use crate::space::Space;
use crate::unit::UnitRef;
use core::ops::ControlFlow;
use kernel::debugfs::{Dir, File};
use kernel::fmt::{Formatter, Result as FmtResult};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::uaccess::UserSliceReader;
use linux::pci::Name;
use linux::Show;
use siov_iopgtable::{Leaf, Prot};
use siov_types::{Iova, IovaRange, PhysAddr};
use siov_vtd::invalidate::Descriptor;
use siov_vtd::regs::{FaultStatus, GlobalStatus, Reg32, Reg64};

/// Ranges printed per address space.
const MOST_RANGES: usize = 256;

/// Pages looked at with interrupts off at a time.
const CHUNK: usize = 512;

/// The files of the driver; they go when this is dropped.
pub(crate) struct Files {
    _units: KVec<Pin<KBox<File<UnitRef>>>>,
    _release: Pin<KBox<File<Arc<Registrations>>>>,
}

impl Files {
    /// Makes the files. With `debug`, also the one that feeds descriptors to the queue.
    pub(crate) fn new(
        units: &[UnitRef],
        registrations: &Arc<Registrations>,
        debug: bool,
    ) -> Result<Self> {
        let root = Dir::new(c"vtd");
        let mut files = KVec::new();
        for unit in units {
            let dir = root.subdir(unit.name());
            let mut keep = |file| files.push(file, GFP_KERNEL);
            let data = || Ok::<_, Error>(unit.clone());
            keep(KBox::pin_init(
                dir.read_callback_file(c"registers", data(), &registers),
                GFP_KERNEL,
            )?)?;
            keep(KBox::pin_init(
                dir.read_callback_file(c"counters", data(), &counters),
                GFP_KERNEL,
            )?)?;
            keep(KBox::pin_init(
                dir.read_callback_file(c"devices", data(), &devices),
                GFP_KERNEL,
            )?)?;
            keep(KBox::pin_init(
                dir.read_callback_file(c"tables", data(), &tables),
                GFP_KERNEL,
            )?)?;
            if debug {
                keep(KBox::pin_init(
                    dir.write_callback_file(c"submit", data(), &submit),
                    GFP_KERNEL,
                )?)?;
            }
        }
        let release = KBox::pin_init(
            root.write_callback_file(c"release", Ok::<_, Error>(registrations.clone()), &release),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _units: files,
            _release: release,
        })
    }
}

fn registers(unit: &UnitRef, f: &mut Formatter<'_>) -> FmtResult {
    for reg in Reg32::ALL {
        let value = unit.regs().read32(*reg);
        write!(f, "{:#05x}  {:10}  {value:#010x}", reg.offset(), reg.name())?;
        match reg {
            Reg32::Gsts => {
                for (name, _) in GlobalStatus::from_bits_retain(value).iter_names() {
                    write!(f, " {name}")?;
                }
            }
            Reg32::Fsts => {
                for (name, _) in FaultStatus::from_bits_truncate(value).iter_names() {
                    write!(f, " {name}")?;
                }
            }
            _ => {}
        }
        writeln!(f)?;
    }
    for reg in Reg64::ALL {
        let value = unit.regs().read64(*reg);
        writeln!(f, "{:#05x}  {:10}  {value:#018x}", reg.offset(), reg.name())?;
    }
    Ok(())
}

/// Descriptor types as the C driver's and the specification's names go, by type field.
const TYPES: [(usize, &str); 8] = [
    (1, "context-cache"),
    (2, "iotlb"),
    (3, "device-tlb"),
    (4, "interrupt-entry-cache"),
    (5, "wait"),
    (6, "pasid-iotlb"),
    (7, "pasid-cache"),
    (8, "pasid-device-tlb"),
];

fn counters(unit: &UnitRef, f: &mut Formatter<'_>) -> FmtResult {
    let c = unit.queue().counters();
    for (index, name) in TYPES {
        writeln!(
            f,
            "{name:22} {}",
            c.by_type.get(index).copied().unwrap_or(0)
        )?;
    }
    for (name, count) in [
        ("refused", c.iqe),
        ("timed-out", c.ite),
        ("unexpected-completions", c.ice),
        ("faults", unit.faults().total()),
        ("fault-overflows", unit.faults().overflows()),
        ("domain-ids", unit.domains().into()),
    ] {
        writeln!(f, "{name:22} {count}")?;
    }
    Ok(())
}

fn devices(unit: &UnitRef, f: &mut Formatter<'_>) -> FmtResult {
    writeln!(
        f,
        "device        PASIDs   ATS  domains  faults  table-bytes  aliases"
    )?;
    for_each_device(unit, |device| {
        write!(
            f,
            "{}  {:7}  {:3}  {:7}  {:6}  {:11} ",
            Name(device.pci()),
            device.max_pasids(),
            if device.tlb().is_some() { "yes" } else { "no" },
            device.translated(),
            device.faults(),
            device.table().bytes(),
        )?;
        for alias in device.aliases().iter().skip(1) {
            write!(f, " {alias}")?;
        }
        writeln!(f)
    })
}

fn tables(unit: &UnitRef, f: &mut Formatter<'_>) -> FmtResult {
    writeln!(f, "root table {}", unit.root().phys())?;
    for_each_device(unit, |device| {
        if let Some(real) = device.real_dma_device() {
            return writeln!(f, "{} requests carry the id {real}", Name(device.pci()));
        }
        let context = unit.root().get(device.bdf());
        writeln!(f, "{} context entry: {context}", Name(device.pci()))?;
        let mut result = Ok(());
        device.table().for_each(|pasid, entry| {
            if result.is_ok() {
                result = writeln!(f, "  PASID {pasid}: {entry}");
            }
            if let (Ok(()), Some(space)) = (result, device.space(pasid)) {
                result = ranges(&space, f);
            }
        });
        result
    })
}

fn for_each_device(unit: &UnitRef, mut f: impl FnMut(&Arc<Device>) -> FmtResult) -> FmtResult {
    let mut result = Ok(());
    unit.devices().for_each(|device| {
        if result.is_ok() {
            result = f(device);
        }
    });
    result
}

/// Consecutive pages with equal permission, to consecutive physical addresses.
#[derive(Clone, Copy)]
struct Run {
    iova: Iova,
    phys: PhysAddr,
    len: u64,
    prot: Prot,
    /// The page size, while it is one.
    size: Option<u64>,
}

impl Run {
    fn new(leaf: Leaf) -> Self {
        Self {
            iova: leaf.iova,
            phys: leaf.phys,
            len: leaf.size.bytes(),
            prot: leaf.prot,
            size: Some(leaf.size.bytes()),
        }
    }

    /// Adds `leaf` if it continues the run.
    fn extend(&mut self, leaf: Leaf) -> bool {
        let follows = self.iova.checked_add(self.len) == Some(leaf.iova)
            && self.phys.checked_add(self.len) == Some(leaf.phys)
            && self.prot == leaf.prot;
        if follows {
            self.len = self.len.saturating_add(leaf.size.bytes());
            self.size = self.size.filter(|s| *s == leaf.size.bytes());
        }
        follows
    }

    fn print(&self, f: &mut Formatter<'_>) -> FmtResult {
        let r = if self.prot.contains(Prot::READ) {
            'r'
        } else {
            '-'
        };
        let w = if self.prot.contains(Prot::WRITE) {
            'w'
        } else {
            '-'
        };
        let size = match self.size {
            Some(0x1000) => "4K",
            Some(0x20_0000) => "2M",
            Some(0x4000_0000) => "1G",
            _ => "mixed",
        };
        let last = self.iova.raw().saturating_add(self.len - 1);
        writeln!(
            f,
            "    {:#014x}-{last:#014x} -> {:#014x} {r}{w} {size}",
            self.iova, self.phys
        )
    }
}

/// Prints what `space` maps.
fn ranges(space: &Space, f: &mut Formatter<'_>) -> FmtResult {
    let mut run: Option<Run> = None;
    let mut printed = 0;
    let mut next = Some(Iova::new(0));
    while let Some(from) = next {
        let Some(range) = IovaRange::new(from, Iova::new(u64::MAX)) else {
            break;
        };
        // Collected first: printing may allocate, which must not happen with interrupts off.
        let mut runs: [Option<Run>; 16] = [None; 16];
        let mut filled = 0;
        let mut looked = 0;
        next = space.tables().walk(range, |leaf| {
            if let Some(run) = &mut run {
                if run.extend(leaf) {
                    looked += 1;
                    return if looked < CHUNK {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(after(leaf))
                    };
                }
            }
            if let Some(done) = run.replace(Run::new(leaf)) {
                if let Some(slot) = runs.get_mut(filled) {
                    *slot = Some(done);
                }
                filled += 1;
            }
            looked += 1;
            if filled < runs.len() && looked < CHUNK {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(after(leaf))
            }
        });
        for done in runs.into_iter().flatten() {
            done.print(f)?;
            printed += 1;
        }
        if printed > MOST_RANGES {
            writeln!(f, "    and more")?;
            next = None;
            run = None;
        }
    }
    if let Some(run) = run {
        run.print(f)?;
    }
    writeln!(f, "    pages of tables: {}", space.tables().table_pages())
}

fn after(leaf: Leaf) -> Option<Iova> {
    leaf.iova.checked_add(leaf.size.bytes())
}

/// Releases all devices, so that the module can be unloaded.
fn release(registrations: &Arc<Registrations>, _reader: &mut UserSliceReader) -> Result {
    registrations.release()
}

/// Feeds a descriptor, four 64-bit words in hexadecimal, to the queue: for testing how the driver
/// takes its refusal.
fn submit(unit: &UnitRef, reader: &mut UserSliceReader) -> Result {
    let mut text = [0u8; 128];
    let len = reader.len().min(text.len());
    let text = text.get_mut(..len).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    let mut raw = [0; Descriptor::WORDS];
    let mut words = text.split_ascii_whitespace();
    for value in &mut raw {
        let word = words.next().ok_or(EINVAL)?;
        *value = u64::from_str_radix(word.trim_start_matches("0x"), 16).map_err(|_| EINVAL)?;
    }
    pr_info!(
        "{}: submitting \"{}\" by hand\n",
        unit.name(),
        Show(Descriptor::from_raw(raw))
    );
    unit.submit(|queue| queue.push(Descriptor::from_raw(raw)));
    Ok(())
}
