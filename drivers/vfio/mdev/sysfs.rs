// SPDX-License-Identifier: GPL-2.0

//! The files of types and devices (Documentation/ABI/sysfs-bus-vfio-mdev).

use crate::sys::{Device, DeviceAttribute, Page, Remover, Text, Type, TypeAttribute, Written};
use crate::Mdev;
use kernel::prelude::*;
use kernel::str::CString;

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` (`UUID_STRING_LEN`).
const UUID_STRING_LEN: usize = 36;

pub(crate) const TYPE: &[TypeAttribute] = &[
    TypeAttribute::write_only(c"create", create),
    TypeAttribute::read_only(c"device_api", |ty, page| {
        Ok(page.line(ty.device_api().to_bytes()))
    }),
    TypeAttribute::read_only(c"name", |ty, page| Ok(page.line(ty.name().to_bytes()))),
    TypeAttribute::read_only(c"available_instances", available_instances),
    TypeAttribute::read_only(c"description", |ty, page| ty.describe(page))
        .only_if(Type::has_description),
];

pub(crate) const DEVICE: &[DeviceAttribute] = &[
    DeviceAttribute::write_only(c"remove", remove),
    DeviceAttribute::read_only(c"domain_type", |mdev, page| {
        Ok(page.line(mdev.state().domain_type().name()))
    }),
];

fn create(ty: &Type, text: Text<'_>, len: usize) -> Result {
    if !(UUID_STRING_LEN..=UUID_STRING_LEN + 1).contains(&len) {
        return Err(EINVAL);
    }
    Mdev::create(ty, text.uuid()?)
}

fn available_instances(ty: &Type, page: Page<'_>) -> Result<Written> {
    let text = CString::try_from_fmt(fmt!("{}", ty.available()))?;
    Ok(page.line(text.to_bytes()))
}

/// `EAGAIN` for a device that is still being made, `ENODEV` when its parent is being unregistered
/// and removes it.
fn remove(_mdev: &Device, text: Text<'_>, remover: Remover<'_>) -> Result {
    if text.number().map_err(|_| EINVAL)? == 0 {
        return Ok(());
    }
    // The kernel's driver finds a device that is still being made after it has removed the file,
    // and then there is no second try.
    remover.hold().ok_or(ENODEV)?.remove()
}
