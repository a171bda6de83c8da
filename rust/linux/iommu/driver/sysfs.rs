// SPDX-License-Identifier: GPL-2.0

//! Attributes of a unit below `/sys/class/iommu/`.

use super::unit::Unit;
use super::Driver;
use crate::bindings;
use crate::callback::{Call, FromC};
use core::fmt::Write;
use core::marker::PhantomData;
use kernel::prelude::*;
use siov_types::PAGE_SIZE;

/// One read-only file.
pub struct Attribute<D: Driver> {
    /// File name.
    pub name: &'static CStr,
    /// Writes the file's text, which fits into a page.
    pub show: fn(&D::Unit, &mut dyn Write) -> core::fmt::Result,
}

/// Most attributes that a driver may have.
const MAX: usize = 8;

/// [`Driver::ATTRIBUTES`] in C's form, constant so that it outlives every use.
pub(super) struct Group<D: Driver>(PhantomData<D>);

// Kernel code takes `as_char_ptr()`, which is not const.
#[allow(clippy::disallowed_methods)]
impl<D: Driver> Group<D> {
    const ATTRIBUTES: &'static [bindings::device_attribute; MAX] = &[
        attribute::<D, 0>(),
        attribute::<D, 1>(),
        attribute::<D, 2>(),
        attribute::<D, 3>(),
        attribute::<D, 4>(),
        attribute::<D, 5>(),
        attribute::<D, 6>(),
        attribute::<D, 7>(),
    ];

    const LIST: &'static [*const bindings::attribute; MAX + 1] = &{
        let mut list = [core::ptr::null(); MAX + 1];
        let mut n = 0;
        assert!(D::ATTRIBUTES.len() <= MAX);
        while n < D::ATTRIBUTES.len() {
            list[n] = &raw const Self::ATTRIBUTES[n].attr;
            n += 1;
        }
        list
    };

    const GROUP: &'static bindings::attribute_group = &bindings::attribute_group {
        name: D::ATTRIBUTE_GROUP.as_ptr().cast(),
        __bindgen_anon_1: pin_init::zeroed(),
        is_bin_visible: None,
        bin_size: None,
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs_const: Self::LIST.as_ptr(),
        },
        bin_attrs: core::ptr::null(),
    };

    /// A null-terminated list of this one group.
    pub(super) const GROUPS: &'static [*const bindings::attribute_group; 2] =
        &[&raw const *Self::GROUP, core::ptr::null()];
}

#[allow(clippy::disallowed_methods, clippy::needless_update)]
const fn attribute<D: Driver, const N: usize>() -> bindings::device_attribute {
    bindings::device_attribute {
        attr: bindings::attribute {
            name: if N < D::ATTRIBUTES.len() {
                D::ATTRIBUTES[N].name.as_ptr().cast()
            } else {
                core::ptr::null()
            },
            mode: 0o444,
            // With lockdep there is more.
            ..pin_init::zeroed()
        },
        __bindgen_anon_1: {
            // A union, but with CONFIG_CFI a structure: its other member is of another type.
            let mut functions: bindings::device_attribute__bindgen_ty_1 = pin_init::zeroed();
            functions.show = Some(Show::<D, N>::show_callback);
            functions
        },
        __bindgen_anon_2: pin_init::zeroed(),
    }
}

/// The device in sysfs of a unit of this driver; none when that is being removed.
struct UnitDevice<'call, D: Driver>(Option<&'call Unit<D>>);

impl<'call, D: Driver> FromC<'call, *mut bindings::device> for UnitDevice<'call, D> {
    unsafe fn from_c(dev: *mut bindings::device, _call: &'call Call) -> Self {
        // SAFETY: As required of us; no reference is made.
        let data = unsafe { &raw const (*dev).driver_data };
        // SAFETY: As above. C code changes the pointer as a whole.
        let data = unsafe { data.read_volatile() };
        // SAFETY: `iommu_device_sysfs_add()` stores the `iommu_device` there, with which a unit
        // begins; it stays as long as the folder has users. `iommu_device_sysfs_remove()` stores
        // NULL before it waits for them.
        Self(unsafe { data.cast::<Unit<D>>().as_ref() })
    }
}

/// The functions of attribute `N`.
struct Show<D: Driver, const N: usize>(PhantomData<D>);

impl<D: Driver, const N: usize> Show<D, N> {
    crate::callbacks! {
        /// `device_attribute::show`.
        ///
        /// # Safety
        ///
        /// For attributes of [`Group`], which only the folders of registered units of the driver
        /// have.
        unsafe fn show_callback(
            dev: *mut bindings::device => UnitDevice<'_, D>,
            _attr: *mut bindings::device_attribute => *mut bindings::device_attribute,
            page: *mut kernel::ffi::c_char => Text<'_>,
        ) -> isize = Self::show;
    }

    fn show(
        dev: UnitDevice<'_, D>,
        _attr: *mut bindings::device_attribute,
        mut text: Text<'_>,
    ) -> isize {
        let Some(unit) = dev.0 else {
            return ENODEV.to_errno() as isize;
        };
        let written = D::ATTRIBUTES.get(N).map(|a| (a.show)(unit, &mut text));
        match written {
            Some(Ok(())) => text.len as isize,
            _ => EIO.to_errno() as isize,
        }
    }
}

/// What a file's text is written to: a buffer of one page, the function's alone until the call
/// ends. Writing fails when it is full.
struct Text<'call> {
    page: &'call mut [u8; PAGE_SIZE as usize],
    len: usize,
}

impl<'call> FromC<'call, *mut kernel::ffi::c_char> for Text<'call> {
    unsafe fn from_c(page: *mut kernel::ffi::c_char, _call: &'call Call) -> Self {
        Self {
            // SAFETY: As required of us.
            page: unsafe { &mut *page.cast() },
            len: 0,
        }
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let end = self.len.checked_add(s.len()).ok_or(core::fmt::Error)?;
        let room = self.page.get_mut(self.len..end);
        room.ok_or(core::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
