// SPDX-License-Identifier: GPL-2.0

//! Where `PCIDeviceClass` (include/hw/pci/pci_device.h) keeps the functions and identifiers of a
//! device.
//!
//! They stand one after the other: realize, exit, config_read, config_write, vendor_id, device_id,
//! revision, class_id. Their offset is that of the identifiers which well-known classes carry.

use std::ffi::{c_int, CStr};

use super::{same_program, Refusal};
use crate::device::Identity;
use crate::ffi::{PciDevice, PciDeviceClass, QemuError};
use crate::libc;
use crate::qemu::Setup;
use crate::symbols::Symbols;

/// Offsets in bytes from the start of the class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PciClass {
    /// vendor_id.
    identity: usize,
}

/// The functions of a class that a device replaces.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    pub(crate) realize: unsafe extern "C" fn(*mut PciDevice, *mut *mut QemuError),
    pub(crate) exit: unsafe extern "C" fn(*mut PciDevice),
    pub(crate) write_config: unsafe extern "C" fn(*mut PciDevice, u32, u32, c_int),
}

const POINTER: usize = size_of::<usize>();

impl PciClass {
    const fn realize(self) -> usize {
        self.identity - 4 * POINTER
    }

    const fn exit(self) -> usize {
        self.identity - 3 * POINTER
    }

    const fn write_config(self) -> usize {
        self.identity - POINTER
    }

    /// Fills in a class.
    pub(crate) fn fill(self, class: &PciDeviceClass, functions: Functions, identity: Identity) {
        // SAFETY: a field of the class, as find() has checked.
        unsafe { put(class, self.realize(), functions.realize) };
        // SAFETY: as above.
        unsafe { put(class, self.exit(), functions.exit) };
        // SAFETY: as above.
        unsafe { put(class, self.write_config(), functions.write_config) };
        // SAFETY: as above.
        unsafe { put(class, self.identity, identity.vendor) };
        // SAFETY: as above.
        unsafe { put(class, self.identity + 2, identity.device) };
        // SAFETY: as above.
        unsafe { put(class, self.identity + 4, identity.revision) };
        // SAFETY: as above.
        unsafe { put(class, self.identity + 6, identity.class) };
    }
}

/// Sets a field of a class that is being made.
///
/// # Safety
///
/// There is a field of this type at the offset, aligned.
unsafe fn put<T>(class: &PciDeviceClass, offset: usize, value: T) {
    let field = class.as_ptr().cast::<u8>().wrapping_add(offset);
    // SAFETY: as required of the caller. The class is being made: nothing else writes to it.
    unsafe { field.cast::<T>().write(value) };
}

/// Classes that QEMU has had for many years, and what they carry.
const KNOWN: [(&CStr, Identity); 3] = [
    (
        c"edu",
        Identity {
            vendor: 0x1234,
            device: 0x11e8,
            revision: 0x10,
            class: 0x00ff,
        },
    ),
    (
        c"pci-testdev",
        Identity {
            vendor: 0x1b36,
            device: 0x0005,
            revision: 0,
            class: 0x00ff,
        },
    ),
    (
        c"e1000e",
        Identity {
            vendor: 0x8086,
            device: 0x10d3,
            revision: 0,
            class: 0x0200,
        },
    ),
];

/// A class whose config_write is `pci_bridge_write_config`.
const BRIDGE: &CStr = c"i82801b11-bridge";

/// The base class of PCI devices, which has no identifiers.
const BASE: &CStr = c"pci-device";

/// A copy of a class.
#[derive(Clone)]
struct Sample<'a> {
    name: &'a CStr,
    identity: Identity,
    bytes: Vec<u8>,
}

pub(super) fn find(symbols: &Symbols, _setup: &Setup) -> Result<PciClass, Refusal> {
    let copy = |name: &CStr| {
        // SAFETY: types may be looked up during setup.
        let class = unsafe { (symbols.object_class_by_name)(name.as_ptr()) };
        if class.is_null() {
            return None;
        }
        // SAFETY: a class is one block of malloc().
        let length = unsafe { libc::usable_size(class.cast()) };
        // SAFETY: the block is never freed, it was zeroed at first, and nothing changes it now.
        let bytes = unsafe { std::slice::from_raw_parts(class.cast::<u8>(), length) };
        Some(bytes.to_vec())
    };
    let samples: Vec<_> = KNOWN
        .into_iter()
        .filter_map(|(name, identity)| {
            Some(Sample {
                name,
                identity,
                bytes: copy(name)?,
            })
        })
        .collect();
    let in_qemu = |address| same_program(address, symbols.pci_bridge_write_config as usize);
    decide(
        &samples,
        copy(BRIDGE).as_deref(),
        copy(BASE).as_deref(),
        symbols.pci_bridge_write_config as usize,
        in_qemu,
    )
}

fn decide(
    samples: &[Sample<'_>],
    bridge: Option<&[u8]>,
    base: Option<&[u8]>,
    bridge_write_config: usize,
    in_qemu: impl Fn(usize) -> bool,
) -> Result<PciClass, Refusal> {
    let refuse = |what: String| Err(Refusal::new(format!("PCIDeviceClass: {what}")));
    if samples.len() < 2 {
        return refuse(format!(
            "only {} of the classes to compare are there",
            samples.len()
        ));
    }
    let mut found = None;
    for sample in samples {
        let offsets = offsets_of(sample);
        let [offset] = offsets[..] else {
            return refuse(format!(
                "the identifiers of {:?} are at {offsets:?}",
                sample.name
            ));
        };
        match found {
            Some(other) if other != offset => {
                return refuse(format!(
                    "the identifiers of {:?} are at {offset}, those of another class at {other}",
                    sample.name
                ));
            }
            _ => found = Some(offset),
        }
    }
    let Some(layout) = found.map(|identity| PciClass { identity }) else {
        return refuse("no class to compare".into());
    };

    let sample = &samples[0];
    for (name, offset) in [("realize", layout.realize()), ("exit", layout.exit())] {
        if !word(&sample.bytes, offset).is_some_and(&in_qemu) {
            return refuse(format!(
                "{name} of {:?} is no function of QEMU",
                sample.name
            ));
        }
    }
    let write_config = bridge.and_then(|bytes| word(bytes, layout.write_config()));
    if write_config != Some(bridge_write_config) {
        return refuse(format!(
            "config_write of {BRIDGE:?} is not pci_bridge_write_config"
        ));
    }
    let none = Identity {
        vendor: 0,
        device: 0,
        revision: 0,
        class: 0,
    };
    if !base.is_some_and(|bytes| identity_at(bytes, layout.identity) == Some(none)) {
        return refuse(format!(
            "the base class {BASE:?} is missing or has identifiers"
        ));
    }
    Ok(layout)
}

/// Every aligned offset at which a class holds its identifiers, with room for the functions before.
fn offsets_of(sample: &Sample<'_>) -> Vec<usize> {
    (4 * POINTER..sample.bytes.len())
        .step_by(POINTER)
        .filter(|&offset| identity_at(&sample.bytes, offset) == Some(sample.identity))
        .collect()
}

fn identity_at(bytes: &[u8], offset: usize) -> Option<Identity> {
    let half = |at: usize| {
        Some(u16::from_ne_bytes(
            *bytes.get(offset + at..)?.first_chunk()?,
        ))
    };
    Some(Identity {
        vendor: half(0)?,
        device: half(2)?,
        revision: *bytes.get(offset + 4)?,
        class: half(6)?,
    })
}

fn word(bytes: &[u8], offset: usize) -> Option<usize> {
    Some(usize::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE_CONFIG: usize = 0x5000;
    const AT: usize = 200;

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    fn class(identity: Identity) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        for (n, function) in [0x1000_usize, 0x2000, 0x3000, WRITE_CONFIG]
            .into_iter()
            .enumerate()
        {
            put(&mut bytes, AT - 32 + 8 * n, &function.to_ne_bytes());
        }
        put(&mut bytes, AT, &identity.vendor.to_ne_bytes());
        put(&mut bytes, AT + 2, &identity.device.to_ne_bytes());
        bytes[AT + 4] = identity.revision;
        put(&mut bytes, AT + 6, &identity.class.to_ne_bytes());
        bytes
    }

    fn samples() -> Vec<Sample<'static>> {
        KNOWN
            .into_iter()
            .map(|(name, identity)| Sample {
                name,
                identity,
                bytes: class(identity),
            })
            .collect()
    }

    fn none() -> Vec<u8> {
        class(Identity {
            vendor: 0,
            device: 0,
            revision: 0,
            class: 0,
        })
    }

    fn try_with(
        samples: &[Sample<'_>],
        bridge: Option<&[u8]>,
        base: Option<&[u8]>,
    ) -> Result<PciClass, String> {
        decide(samples, bridge, base, WRITE_CONFIG, |address| {
            (0x1000..0x8000).contains(&address)
        })
        .map_err(|refusal| refusal.to_string())
    }

    fn refused(result: Result<PciClass, String>, why: &str) {
        let message = result.expect_err("refused");
        assert!(message.starts_with("PCIDeviceClass: "), "{message}");
        assert!(message.contains(why), "{message}");
    }

    #[test]
    fn the_offset_is_found() {
        let found = try_with(&samples(), Some(&none()), Some(&none()));
        assert_eq!(found, Ok(PciClass { identity: AT }));
        // One class may be missing.
        assert_eq!(
            try_with(&samples()[1..], Some(&none()), Some(&none())),
            found
        );
    }

    #[test]
    fn every_doubt_is_a_refusal() {
        let (good, plain) = (samples(), none());
        let run = |samples: &[Sample<'_>]| try_with(samples, Some(&plain), Some(&plain));

        refused(run(&good[..1]), "only 1");

        let mut elsewhere = good.clone();
        elsewhere[1].bytes.rotate_right(8);
        refused(
            run(&elsewhere),
            "\"pci-testdev\" are at 208, those of another class at 200",
        );

        let mut twice = good.clone();
        let copy = twice[2].bytes[AT..AT + 8].to_vec();
        put(&mut twice[2].bytes, 40, &copy);
        refused(run(&twice), "\"e1000e\" are at [40, 200]");

        let mut unknown = good.clone();
        unknown[0].bytes[AT + 4] ^= 1;
        refused(run(&unknown), "\"edu\" are at []");

        for (offset, name) in [(AT - 32, "realize"), (AT - 24, "exit")] {
            let mut foreign = good.clone();
            put(&mut foreign[0].bytes, offset, &0x9000_usize.to_ne_bytes());
            refused(run(&foreign), name);
        }

        let mut bridge = none();
        put(&mut bridge, AT - 8, &0x3000_usize.to_ne_bytes());
        refused(try_with(&good, Some(&bridge), Some(&plain)), "config_write");
        refused(try_with(&good, None, Some(&plain)), "config_write");
        refused(
            try_with(&good, Some(&plain), Some(&good[0].bytes)),
            "base class",
        );
        refused(try_with(&good, Some(&plain), None), "base class");
        refused(
            try_with(&good, Some(&plain), Some(&plain[..AT])),
            "base class",
        );
    }

    #[test]
    fn a_class_is_filled_in_where_it_was_understood() {
        let identity = Identity {
            vendor: 0x1af4,
            device: 0x10f5,
            revision: 7,
            class: 0x0880,
        };
        unsafe extern "C" fn realize(_: *mut PciDevice, _: *mut *mut QemuError) {}
        unsafe extern "C" fn exit(_: *mut PciDevice) {}
        unsafe extern "C" fn write_config(_: *mut PciDevice, _: u32, _: u32, _: c_int) {}
        let functions = Functions {
            realize,
            exit,
            write_config,
        };
        let mut bytes = vec![0_u64; 32];
        // SAFETY: the buffer is as long as a class.
        let class = unsafe { &*bytes.as_mut_ptr().cast() };
        PciClass { identity: AT }.fill(class, functions, identity);
        let bytes: Vec<u8> = bytes.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(identity_at(&bytes, AT), Some(identity));
        let words = [AT - 32, AT - 24, AT - 16, AT - 8].map(|at| word(&bytes, at));
        let functions = [
            realize as *const () as usize,
            exit as *const () as usize,
            0,
            write_config as *const () as usize,
        ];
        assert_eq!(words, functions.map(Some));
        assert!(bytes[..AT - 32].iter().all(|&byte| byte == 0));
    }
}
