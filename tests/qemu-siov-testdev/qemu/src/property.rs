// SPDX-License-Identifier: GPL-2.0

//! Properties: what can be set behind `-device`.

use std::ffi::{c_char, c_void, CStr};
use std::ops::RangeInclusive;

use crate::device::Device;
use crate::error::Error;
use crate::ffi::{Errp, Object, ObjectClass, Visitor};
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
///
/// # Safety
///
/// `class` is that of `D`, and its `class_init` is running.
pub(crate) unsafe fn add<D: Device>(qemu: &Qemu, class: *mut ObjectClass) {
    for property in D::PROPERTIES {
        let kind = match property.value {
            Value::Bool { .. } => c"bool",
            Value::U32 { .. } => c"uint32",
        };
        let opaque = std::ptr::from_ref(property).cast_mut().cast();
        let symbols = &qemu.symbols;
        // SAFETY: QEMU copies the strings; the property is static, as its accessors expect.
        unsafe {
            (symbols.object_class_property_add)(
                class,
                property.name.as_ptr(),
                kind.as_ptr(),
                get::<D>,
                set::<D>,
                std::ptr::null_mut(),
                opaque,
            );
            (symbols.object_class_property_set_description)(
                class,
                property.name.as_ptr(),
                property.description.as_ptr(),
            );
        }
    }
}

unsafe extern "C" fn get<D: Device>(
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    opaque: *mut c_void,
    errp: Errp,
) {
    // SAFETY: what add() gave.
    let property = unsafe { &*opaque.cast::<Property<D::Config>>() };
    // SAFETY: QEMU calls this with an object of the class, and with the big lock held.
    let Some(instance) = (unsafe { Instance::<D>::of(object) }) else {
        return;
    };
    let symbols = &instance.qemu().symbols;
    let config = instance.config().borrow();
    // SAFETY: the visitor stores the value before it returns.
    unsafe {
        match &property.value {
            Value::Bool { get, .. } => {
                let mut value = get(&config);
                (symbols.visit_type_bool)(visitor, name, &mut value, errp);
            }
            Value::U32 { get, .. } => {
                let mut value = get(&config);
                (symbols.visit_type_uint32)(visitor, name, &mut value, errp);
            }
        }
    }
}

unsafe extern "C" fn set<D: Device>(
    object: *mut Object,
    visitor: *mut Visitor,
    name: *const c_char,
    opaque: *mut c_void,
    errp: Errp,
) {
    // SAFETY: what add() gave.
    let property = unsafe { &*opaque.cast::<Property<D::Config>>() };
    // SAFETY: QEMU calls this with an object of the class, and with the big lock held.
    let Some(instance) = (unsafe { Instance::<D>::of(object) }) else {
        return;
    };
    let symbols = &instance.qemu().symbols;
    let name_text = property.name.to_string_lossy();
    if instance.is_realized() {
        let error = Error::new(format!(
            "'{name_text}' cannot change while the device is there"
        ));
        // SAFETY: errp is QEMU's.
        unsafe { symbols.set_error(errp, &error) };
        return;
    }
    let mut config = instance.config().borrow_mut();
    match &property.value {
        Value::Bool { set, .. } => {
            let mut value = false;
            // SAFETY: the visitor sets the value if it succeeds, and the error otherwise.
            if unsafe { (symbols.visit_type_bool)(visitor, name, &mut value, errp) } {
                set(&mut config, value);
            }
        }
        Value::U32 { range, set, .. } => {
            let mut value = 0;
            // SAFETY: as above.
            if !unsafe { (symbols.visit_type_uint32)(visitor, name, &mut value, errp) } {
                return;
            }
            if range.contains(&value) {
                set(&mut config, value);
                return;
            }
            let (first, last) = (range.start(), range.end());
            let error = Error::new(format!(
                "'{name_text}' takes {first} to {last}, not {value}"
            ));
            // SAFETY: errp is QEMU's.
            unsafe { symbols.set_error(errp, &error) };
        }
    }
}
