// SPDX-License-Identifier: GPL-2.0

//! Properties: what can be set behind `-device`.

use std::ffi::CStr;
use std::ops::RangeInclusive;

use crate::device::Device;
use crate::error::Error;
use crate::ffi::{Errp, Object, PciDeviceClass, Text, Visitor};
use crate::instance::Instance;
use crate::qemu::Qemu;

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
        let (class, name) = (class.as_ref(), property.name.into());
        let (get, set) = (get::<D>, set::<D>);
        (symbols.object_class_property_add)(class, name, kind.into(), get, set, None, index);
        let describe = symbols.object_class_property_set_description;
        // SAFETY: the class has a property of this name now.
        unsafe { describe(class, name, property.description.into()) };
    }
}

extern "C" fn get<D: Device>(
    object: &Object,
    visitor: &Visitor,
    name: Text<'_>,
    index: usize,
    errp: Errp<'_>,
) {
    let Some(property) = D::PROPERTIES.get(index) else {
        return;
    };
    Instance::<D>::with(object, |instance| {
        let symbols = &instance.qemu().symbols;
        let config = instance.config().borrow();
        match &property.value {
            Value::Bool { get, .. } => {
                (symbols.visit_type_bool)(visitor, name, &mut get(&config), errp)
            }
            Value::U32 { get, .. } => {
                (symbols.visit_type_uint32)(visitor, name, &mut get(&config), errp)
            }
        }
    });
}

extern "C" fn set<D: Device>(
    object: &Object,
    visitor: &Visitor,
    name: Text<'_>,
    index: usize,
    errp: Errp<'_>,
) {
    let Some(property) = D::PROPERTIES.get(index) else {
        return;
    };
    Instance::<D>::with(object, |instance| {
        let symbols = &instance.qemu().symbols;
        let fail = |text| symbols.set_error(errp, &Error::new(text));
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
                if (symbols.visit_type_bool)(visitor, name, &mut value, errp) {
                    set(&mut config, value);
                }
            }
            Value::U32 { range, set, .. } => {
                let mut value = 0;
                if !(symbols.visit_type_uint32)(visitor, name, &mut value, errp) {
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
