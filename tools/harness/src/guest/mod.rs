// SPDX-License-Identifier: GPL-2.0

//! A guest: what it looks like and what runs in it ([`Guest`]), QEMU's command line for it
//! ([`qemu`]), what it is given ([`initramfs`]), and a run of it ([`run`]).

pub mod follow;
pub mod initramfs;
pub mod qemu;
pub mod run;
pub mod value;

use std::num::NonZeroU32;
use std::time::Duration;
use value::{CopyFile, Disk, GuestPath, Iommu, KvmModule, Member, Module, Plugin, Size};

/// How the output of a command is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It is KTAP.
    Ktap,
    /// Only the exit status counts.
    Plain,
}

impl Kind {
    /// Its name in the guest, as [`crate::session`] reads it again.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Ktap => "ktap",
            Kind::Plain => "plain",
        }
    }
}

/// A shell line for the guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// How it is judged.
    pub kind: Kind,
    /// The line.
    pub line: String,
}

impl Command {
    /// The first word, if it may be the name of one of our programs.
    pub fn program(&self) -> Option<&str> {
        let word = self.line.split(' ').next()?;
        (!word.is_empty() && !word.contains('/')).then_some(word)
    }
}

/// What emulates the guest's processors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accel {
    /// QEMU's emulation.
    Tcg,
    /// The same, one virtual nanosecond per instruction on one processor.
    Icount,
    /// `/dev/kvm`, which only a user may ask for.
    Kvm,
}

/// What a guest looks like and what runs in it. The fields have the names of the keys of scenario
/// files, which Documentation/harness.rst describes.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The emulated IOMMU.
    pub iommu: Iommu,
    /// What runs its processors.
    pub accel: Accel,
    /// Processors.
    pub smp: NonZeroU32,
    /// Memory.
    pub mem: Size,
    /// Further words of the kernel's command line.
    pub append: Vec<String>,
    /// Arguments of `-device`.
    pub devices: Vec<String>,
    /// Further arguments of QEMU.
    pub qemu: Vec<String>,
    /// Empty images.
    pub disks: Vec<Disk>,
    /// Loaded before the commands, in this order.
    pub modules: Vec<Module>,
    /// There, but not loaded.
    pub have: Vec<Module>,
    /// Files of this machine.
    pub copies: Vec<CopyFile>,
    /// Files of the Debian root, which have the same path in the guest.
    pub data: Vec<GuestPath>,
    /// Programs of the Debian root, with their libraries.
    pub programs: Vec<String>,
    /// Programs of the kernel's own selftests.
    pub kselftests: Vec<Member>,
    /// Modules of the kernel's samples.
    pub samples: Vec<Member>,
    /// Payloads of micro-bench, by the names of their files.
    pub payloads: Vec<String>,
    /// What runs.
    pub commands: Vec<Command>,
    /// Arguments of `dmar-table`: a DMAR table in place of QEMU's.
    pub acpi: Option<String>,
    /// The kvm.ko that takes the place of ours.
    pub kvm: Option<KvmModule>,
    /// Where the guest has the image of its own kernel.
    pub kernel_image: Option<GuestPath>,
    /// Whether QEMU's monitor is on the guest's third serial port.
    pub monitor: bool,
    /// QEMU's plugins.
    pub plugins: Vec<Plugin>,
    /// Whether they come by LD_PRELOAD.
    pub preload: bool,
    /// Whether a person uses the guest, so that nothing ends it.
    pub shell: bool,
    /// After which it is ended.
    pub timeout: Duration,
}

impl Default for Guest {
    fn default() -> Self {
        Guest {
            iommu: Iommu::Intel(None),
            accel: Accel::Tcg,
            smp: DEFAULT_PROCESSORS,
            mem: Size::gib(),
            append: Vec::new(),
            devices: Vec::new(),
            qemu: Vec::new(),
            disks: Vec::new(),
            modules: Vec::new(),
            have: Vec::new(),
            copies: Vec::new(),
            data: Vec::new(),
            programs: Vec::new(),
            kselftests: Vec::new(),
            samples: Vec::new(),
            payloads: Vec::new(),
            commands: Vec::new(),
            acpi: None,
            kvm: None,
            kernel_image: None,
            monitor: false,
            plugins: Vec::new(),
            preload: false,
            shell: false,
            timeout: Duration::from_secs(120),
        }
    }
}

const DEFAULT_PROCESSORS: NonZeroU32 = match NonZeroU32::new(2) {
    Some(two) => two,
    None => unreachable!(),
};
