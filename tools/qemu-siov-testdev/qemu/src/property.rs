// SPDX-License-Identifier: GPL-2.0

//! Properties: what can be set behind `-device`.

use std::ffi::{c_char, c_void, CStr};
use std::ops::RangeInclusive;

use crate::call::Call;
use crate::device::Device;
use crate::error::Error;
use crate::ffi::{Errp, Object, PciDeviceClass, QemuError, Visitor};
use crate::instance::Instance;
use crate::qemu::Qemu;
use crate::symbols::Symbols;

/// A property of a configuration `C`.
pub struct Property<C: 'static> {
    /// Name.
    pub name: &'static CStr,
    /// What `-device NAME,help` says about it, its default included.
    pub description: &'static CStr,
    /// Type and place.
    pub value: Value<C>,
}

/// Type and place of a property.
pub enum Value<C: 'static> {
    /// on or off.
    Bool {
        /// Reads it.
        get: fn(&C) -> bool,
        /// Sets it.
        set: fn(&mut C, bool),
    },
    /// A number.
    U32 {
        /// What is accepted.
        range: RangeInclusive<u32>,
        /// Reads it.
        get: fn(&C) -> u32,
        /// Sets it.
        set: fn(&mut C, u32),
    },
}

/// Adds the properties of `D` to its class.
pub(crate) fn add<D: Device>(qemu: &Qemu, class: &PciDeviceClass) {
    let symbols = &qemu.symbols;
    for (index, property) in D::PROPERTIES.iter().enumerate() {
        let kind = match property.value {
            Value::Bool { .. } => c"bool",
            Value::U32 { .. } => c"uint32",
        };
        let class = class.as_ref().as_ptr();
        let (get, set) = (get_callback::<D>, set_callback::<D>);
        let index = std::ptr::without_provenance_mut(index);
        let (name, kind) = (property.name.as_ptr(), kind.as_ptr());
        // SAFETY: the class is being made. QEMU copies the strings, and calls the functions for
        // objects of this class with the index.
        unsafe { (symbols.object_class_property_add)(class, name, kind, get, set, None, index) };
        let (describe, text) = (
            symbols.object_class_property_set_description,
            property.description.as_ptr(),
        );
        // SAFETY: the class has a property of this name now; QEMU copies the string.
        unsafe { describe(class, name, text) };
    }
}

/// What QEMU passes to the accessors of a property.
struct Access<'a> {
    object: &'a Object,
    visitor: &'a Visitor,
    name: &'a CStr,
    index: usize,
    errp: Errp<'a>,
}

impl Access<'_> {
    /// Has the visitor read or write a value. False: an error is at `errp`.
    fn visit_bool(&self, symbols: &Symbols, value: &mut bool) -> bool {
        let (visitor, name) = (self.visitor.as_ptr(), self.name.as_ptr());
        // SAFETY: a visitor that QEMU passed, a string, a value, and a place for an error or null.
        unsafe { (symbols.visit_type_bool)(visitor, name, value, self.errp.as_ptr()) }
    }

    /// As above.
    fn visit_u32(&self, symbols: &Symbols, value: &mut u32) -> bool {
        let (visitor, name) = (self.visitor.as_ptr(), self.name.as_ptr());
        // SAFETY: a visitor that QEMU passed, a string, a value, and a place for an error or null.
        unsafe { (symbols.visit_type_uint32)(visitor, name, value, self.errp.as_ptr()) }
    }
}

/// Takes over what QEMU passes to an accessor.
///
/// # Safety
///
/// QEMU passed it to the accessor that this is a call of.
unsafe fn lend(
    call: &Call,
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    index: *mut c_void,
    errp: *mut *mut QemuError,
) -> Access<'_> {
    Access {
        // SAFETY: the object whose property it is.
        object: unsafe { call.lend(object) },
        // SAFETY: what reads or writes the value.
        visitor: unsafe { call.lend(visitor) },
        // SAFETY: the name of the property.
        name: unsafe { call.lend_text(name) },
        index: index as usize,
        // SAFETY: where an error goes.
        errp: unsafe { call.lend_errp(errp) },
    }
}

/// `ObjectPropertyAccessor` that reads.
///
/// # Safety
///
/// For a property of [`add`].
unsafe extern "C" fn get_callback<D: Device>(
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    index: *mut c_void,
    errp: *mut *mut QemuError,
) {
    let call = Call::new();
    // SAFETY: as QEMU passed it.
    get::<D>(&unsafe { lend(&call, object, visitor, name, index, errp) });
}

/// `ObjectPropertyAccessor` that writes.
///
/// # Safety
///
/// For a property of [`add`].
unsafe extern "C" fn set_callback<D: Device>(
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    index: *mut c_void,
    errp: *mut *mut QemuError,
) {
    let call = Call::new();
    // SAFETY: as QEMU passed it.
    set::<D>(&unsafe { lend(&call, object, visitor, name, index, errp) });
}

fn get<D: Device>(access: &Access<'_>) {
    let Some(property) = D::PROPERTIES.get(access.index) else {
        return;
    };
    Instance::<D>::with(access.object, |instance| {
        let symbols = &instance.qemu().symbols;
        let config = instance.config().borrow();
        match &property.value {
            Value::Bool { get, .. } => access.visit_bool(symbols, &mut get(&config)),
            Value::U32 { get, .. } => access.visit_u32(symbols, &mut get(&config)),
        }
    });
}

fn set<D: Device>(access: &Access<'_>) {
    let Some(property) = D::PROPERTIES.get(access.index) else {
        return;
    };
    Instance::<D>::with(access.object, |instance| {
        let symbols = &instance.qemu().symbols;
        let fail = |text| symbols.set_error(access.errp, &Error::new(text));
        let name_text = property.name.to_string_lossy();
        if instance.is_realized() {
            fail(format!(
                "'{name_text}' cannot change while the device is there"
            ));
            return;
        }
        let mut config = instance.config().borrow_mut();
        match &property.value {
            Value::Bool { set, .. } => {
                let mut value = false;
                if access.visit_bool(symbols, &mut value) {
                    set(&mut config, value);
                }
            }
            Value::U32 { range, set, .. } => {
                let mut value = 0;
                if !access.visit_u32(symbols, &mut value) {
                    return;
                }
                if range.contains(&value) {
                    set(&mut config, value);
                } else {
                    let (first, last) = (range.start(), range.end());
                    fail(format!(
                        "'{name_text}' takes {first} to {last}, not {value}"
                    ));
                }
            }
        }
    });
}
