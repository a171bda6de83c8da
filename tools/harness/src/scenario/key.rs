// SPDX-License-Identifier: GPL-2.0

//! The keys of scenario files.

use super::Scenario;
use crate::guest::value::positive;
use crate::guest::{Accel, Command, Kind};
use std::fmt::Display;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

/// What a key sets.
type Set = fn(&mut Scenario, &str) -> Result<(), String>;

/// A key.
pub(super) struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether a section may have it once only. A variant's value then replaces that of the common
    /// lines.
    pub once: bool,
    /// Takes a value.
    pub set: Set,
}

const fn once(name: &'static str, set: Set) -> Key {
    Key {
        name,
        once: true,
        set,
    }
}

const fn many(name: &'static str, set: Set) -> Key {
    Key {
        name,
        once: false,
        set,
    }
}

pub(super) const KEYS: &[Key] = &[
    once("summary", |s, v| set(&mut s.summary, v)),
    many("command", |s, v| command(s, Kind::Ktap, v)),
    many("plain", |s, v| command(s, Kind::Plain, v)),
    many("module", |s, v| push(&mut s.guest.modules, v)),
    many("have", |s, v| push(&mut s.guest.have, v)),
    once("iommu", |s, v| set(&mut s.guest.iommu, v)),
    many("device", |s, v| push(&mut s.guest.devices, v)),
    many("disk", |s, v| push(&mut s.guest.disks, v)),
    many("qemu", |s, v| push(&mut s.guest.qemu, v)),
    once("acpi", |s, v| some(&mut s.guest.acpi, v)),
    once("monitor", |s, v| yes(&mut s.guest.monitor, v)),
    many("plugin", |s, v| push(&mut s.guest.plugins, v)),
    once("preload", |s, v| yes(&mut s.guest.preload, v)),
    many("sample", |s, v| push(&mut s.guest.samples, v)),
    many("kselftest", |s, v| push(&mut s.guest.kselftests, v)),
    many("program", |s, v| push(&mut s.guest.programs, v)),
    many("data", |s, v| push(&mut s.guest.data, v)),
    many("copy", |s, v| push(&mut s.guest.copies, v)),
    many("payload", |s, v| push(&mut s.guest.payloads, v)),
    once("kernel-image", |s, v| some(&mut s.guest.kernel_image, v)),
    many("append", |s, v| push(&mut s.guest.append, v)),
    once("kvm", |s, v| some(&mut s.guest.kvm, v)),
    once("smp", |s, v| {
        s.guest.smp = positive(v)?;
        Ok(())
    }),
    once("mem", |s, v| set(&mut s.guest.mem, v)),
    once("timeout", |s, v| {
        s.guest.timeout = Duration::from_secs(positive::<NonZeroU64>(v)?.get());
        Ok(())
    }),
    once("icount", |s, v| {
        let mut icount = false;
        yes(&mut icount, v)?;
        s.guest.accel = Accel::Icount;
        Ok(())
    }),
    many("allow", |s, v| push(&mut s.allow, v)),
    once("tags", |s, v| set(&mut s.tags, v)),
    once("kernels", |s, v| {
        s.kernels = v.split_whitespace().map(str::to_owned).collect();
        Ok(())
    }),
    many("optional", |s, v| push(&mut s.optional, v)),
    many("aim", |s, v| push(&mut s.aims, v)),
    many("column", |s, v| push(&mut s.columns, v)),
    once("clock", |s, v| set(&mut s.clock, v)),
];

fn value<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn set<T: FromStr<Err: Display>>(place: &mut T, text: &str) -> Result<(), String> {
    *place = value(text)?;
    Ok(())
}

fn some<T: FromStr<Err: Display>>(place: &mut Option<T>, text: &str) -> Result<(), String> {
    *place = Some(value(text)?);
    Ok(())
}

fn push<T: FromStr<Err: Display>>(list: &mut Vec<T>, text: &str) -> Result<(), String> {
    list.push(value(text)?);
    Ok(())
}

fn yes(place: &mut bool, text: &str) -> Result<(), String> {
    if text != "yes" {
        return Err(format!("{text:?}: the only value is yes"));
    }
    *place = true;
    Ok(())
}

fn command(scenario: &mut Scenario, kind: Kind, line: &str) -> Result<(), String> {
    scenario.guest.commands.push(Command {
        kind,
        line: line.to_owned(),
    });
    Ok(())
}
