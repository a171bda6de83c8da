// SPDX-License-Identifier: GPL-2.0

//! The files of types and devices (Documentation/ABI/sysfs-bus-vfio-mdev).

use crate::sys::{Device, DeviceAttribute, Page, Remover, Text, Type, TypeAttribute};
use crate::Mdev;
use kernel::prelude::*;
use kernel::str::CString;

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` (`UUID_STRING_LEN`).
const UUID_STRING_LEN: usize = 36;

pub(crate) const TYPE: &[TypeAttribute<Mdev>] = &[
    TypeAttribute::write_only(c"create", create),
    TypeAttribute::read_only(c"device_api", |ty, page| {
        page.line(ty.device_api().to_bytes())
    }),
    TypeAttribute::read_only(c"name", |ty, page| page.line(ty.name().to_bytes())),
    TypeAttribute::read_only(c"available_instances", available_instances),
    TypeAttribute::read_only(c"description", |ty, page| ty.describe(page))
        .only_if(Type::has_description),
];

pub(crate) const DEVICE: &[DeviceAttribute<Mdev>] = &[
    DeviceAttribute::write_only(c"remove", remove),
    DeviceAttribute::read_only(c"domain_type", |mdev, page| {
        page.line(mdev.state().domain_type().name())
    }),
];

fn create(mdev: &Mdev, ty: &Type, text: Text<'_>) -> Result {
    if !(UUID_STRING_LEN..=UUID_STRING_LEN + 1).contains(&text.bytes().len()) {
        return Err(EINVAL);
    }
    mdev.create(ty, text.uuid()?)
}

fn available_instances(ty: &Type, page: Page<'_>) -> Result<usize> {
    page.line(CString::try_from_fmt(fmt!("{}", ty.available()))?.to_bytes())
}

/// `EAGAIN` for a device that is still being made, `ENODEV` when its parent is leaving and removes it.
fn remove(_: &Mdev, mdev: &Device<Mdev>, text: Text<'_>, remover: Remover<'_, Mdev>) -> Result {
    if text.number().map_err(|_| EINVAL)? == 0 {
        return Ok(());
    }
    let parent = mdev.parent().hold().ok_or(ENODEV)?;
    // The kernel's driver looks after it has removed the file, and then nobody can try again.
    if !mdev.is_active() {
        return Err(EAGAIN);
    }
    remover.remove(&parent);
    Ok(())
}
