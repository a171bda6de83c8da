// SPDX-License-Identifier: GPL-2.0

//! Checks `TypeInfo` (include/qom/object.h) by registering types and watching what QEMU makes of them.

use std::ffi::{c_void, CStr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Refusal;
use crate::ffi::{Object, ObjectClass, TypeInfo};
use crate::symbols::Symbols;

const NAME: &CStr = c"qemu-device-trial";
const ABSTRACT_NAME: &CStr = c"qemu-device-trial-abstract";

/// Only its address counts, which `class_init` gets.
static CLASS_DATA: u8 = 0;

static SEEN_CLASS_DATA: AtomicUsize = AtomicUsize::new(0);
static SEEN_INIT: AtomicUsize = AtomicUsize::new(0);
static SEEN_POST_INIT: AtomicUsize = AtomicUsize::new(0);
static SEEN_FINALIZE: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn class_init(_class: *mut ObjectClass, data: *const c_void) {
    SEEN_CLASS_DATA.store(data as usize, Relaxed);
}

unsafe extern "C" fn init(object: *mut Object) {
    SEEN_INIT.store(object as usize, Relaxed);
}

unsafe extern "C" fn post_init(object: *mut Object) {
    SEEN_POST_INIT.store(object as usize, Relaxed);
}

unsafe extern "C" fn finalize(object: *mut Object) {
    SEEN_FINALIZE.store(object as usize, Relaxed);
}

/// # Safety
///
/// As for [`Layout::find`](super::Layout::find).
pub(super) unsafe fn check(symbols: &Symbols) -> Result<(), Refusal> {
    let data = (&raw const CLASS_DATA).cast();
    let plain = TypeInfo {
        instance_init: Some(init),
        instance_post_init: Some(post_init),
        instance_finalize: Some(finalize),
        class_init: Some(class_init),
        class_data: data,
        ..TypeInfo::new(NAME.as_ptr(), c"object".as_ptr())
    };
    let base = TypeInfo {
        is_abstract: true,
        ..TypeInfo::new(ABSTRACT_NAME.as_ptr(), NAME.as_ptr())
    };
    // SAFETY: QEMU copies the types; names and data are static. Nothing else uses these types.
    let (class, parent, object) = unsafe {
        (symbols.type_register_static)(&plain);
        (symbols.type_register_static)(&base);
        let class = (symbols.object_class_by_name)(ABSTRACT_NAME.as_ptr());
        let class = class.as_mut().map(std::ptr::from_mut);
        let parent = class.map(|class| (symbols.object_class_get_parent)(class));
        let object = (symbols.object_new)(NAME.as_ptr());
        (symbols.object_unref)(object);
        (class, parent, object as usize)
    };
    let (Some(class), Some(parent)) = (class, parent.filter(|parent| !parent.is_null())) else {
        return Err(Refusal::new(
            "TypeInfo: a registered type has no class, or no parent",
        ));
    };
    // SAFETY: both are classes.
    let (is_abstract, parent_is_abstract, parent_name) = unsafe {
        (
            (symbols.object_class_is_abstract)(class),
            (symbols.object_class_is_abstract)(parent),
            CStr::from_ptr((symbols.object_class_get_name)(parent)),
        )
    };
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
