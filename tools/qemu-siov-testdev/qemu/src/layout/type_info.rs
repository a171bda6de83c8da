// SPDX-License-Identifier: GPL-2.0

//! Checks `TypeInfo` (include/qom/object.h) by registering types and watching what QEMU makes of
//! them.

use std::ffi::{c_void, CStr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Refusal;
use crate::ffi::{Object, ObjectClass, TypeInfo};
use crate::qemu::Setup;
use crate::symbols::Symbols;

const NAME: &CStr = c"qemu-device-trial";
const ABSTRACT_NAME: &CStr = c"qemu-device-trial-abstract";

/// Only its address counts, which `class_init` gets.
static CLASS_DATA: u8 = 0;

static SEEN_CLASS_DATA: AtomicUsize = AtomicUsize::new(0);
static SEEN_INIT: AtomicUsize = AtomicUsize::new(0);
static SEEN_POST_INIT: AtomicUsize = AtomicUsize::new(0);
static SEEN_FINALIZE: AtomicUsize = AtomicUsize::new(0);

/// `TypeInfo.class_init`.
///
/// # Safety
///
/// For any type.
unsafe extern "C" fn class_init(_class: *mut ObjectClass, data: *const c_void) {
    SEEN_CLASS_DATA.store(data as usize, Relaxed);
}

/// `TypeInfo.instance_init`.
///
/// # Safety
///
/// For any type.
unsafe extern "C" fn init(object: *mut Object) {
    SEEN_INIT.store(object as usize, Relaxed);
}

/// `TypeInfo.instance_post_init`.
///
/// # Safety
///
/// For any type.
unsafe extern "C" fn post_init(object: *mut Object) {
    SEEN_POST_INIT.store(object as usize, Relaxed);
}

/// `TypeInfo.instance_finalize`.
///
/// # Safety
///
/// For any type.
unsafe extern "C" fn finalize(object: *mut Object) {
    SEEN_FINALIZE.store(object as usize, Relaxed);
}

pub(super) fn check(symbols: &Symbols, _setup: &Setup) -> Result<(), Refusal> {
    let data = (&raw const CLASS_DATA).cast();
    let plain = TypeInfo {
        instance_init: Some(init),
        instance_post_init: Some(post_init),
        instance_finalize: Some(finalize),
        class_init: Some(class_init),
        class_data: data,
        ..TypeInfo::new(NAME, c"object")
    };
    let base = TypeInfo {
        is_abstract: true,
        ..TypeInfo::new(ABSTRACT_NAME, NAME)
    };
    for info in [&plain, &base] {
        // SAFETY: types may be registered during setup. QEMU copies it; names and data are static,
        // and the functions are for any type.
        unsafe { (symbols.type_register_static)(info) };
    }
    // SAFETY: types may be looked up during setup.
    let class = unsafe { (symbols.object_class_by_name)(ABSTRACT_NAME.as_ptr()) };
    // SAFETY: the type was just registered, and is not abstract.
    let object = unsafe { (symbols.object_new)(NAME.as_ptr()) };
    // SAFETY: its only reference.
    unsafe { (symbols.object_unref)(object.cast()) };
    let object = object as usize;
    let parent = if class.is_null() {
        std::ptr::null_mut()
    } else {
        // SAFETY: a class.
        unsafe { (symbols.object_class_get_parent)(class) }
    };
    if parent.is_null() {
        return Err(Refusal::new(
            "TypeInfo: a registered type has no class, or no parent",
        ));
    }
    // SAFETY: a class.
    let is_abstract = unsafe { (symbols.object_class_is_abstract)(class) };
    // SAFETY: a class.
    let parent_is_abstract = unsafe { (symbols.object_class_is_abstract)(parent) };
    // SAFETY: a class.
    let parent_name = unsafe { (symbols.object_class_get_name)(parent) };
    // SAFETY: its name, a string that stays.
    let parent_name = unsafe { CStr::from_ptr(parent_name) };
    let seen = [&SEEN_INIT, &SEEN_POST_INIT, &SEEN_FINALIZE].map(|address| address.load(Relaxed));
    let wrong = [
        (parent_name != NAME, "the parent of a type is another"),
        (
            !is_abstract || parent_is_abstract,
            "the wrong type is abstract",
        ),
        (
            SEEN_CLASS_DATA.load(Relaxed) != data as usize,
            "class_init gets other data",
        ),
        (
            seen != [object; 3],
            "an object is not initialized and finalized as its type says",
        ),
    ];
    match wrong.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Err(Refusal::new(format!("TypeInfo: {what}"))),
        None => Ok(()),
    }
}
