// SPDX-License-Identifier: GPL-2.0

//! Checks `TypeInfo` (include/qom/object.h) by registering types and watching what QEMU makes of them.

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

extern "C" fn class_init(_class: &ObjectClass, data: *const c_void) {
    SEEN_CLASS_DATA.store(data as usize, Relaxed);
}

extern "C" fn init(object: &Object) {
    SEEN_INIT.store(object.address(), Relaxed);
}

extern "C" fn post_init(object: &Object) {
    SEEN_POST_INIT.store(object.address(), Relaxed);
}

extern "C" fn finalize(object: &Object) {
    SEEN_FINALIZE.store(object.address(), Relaxed);
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
        ..TypeInfo::<ObjectClass>::new(ABSTRACT_NAME, NAME)
    };
    // SAFETY: QEMU copies the types; names and data are static. Nothing else uses these types.
    let (class, object) = unsafe {
        (symbols.type_register_static)((&raw const plain).cast());
        (symbols.type_register_static)((&raw const base).cast());
        let class = (symbols.object_class_by_name)(ABSTRACT_NAME.into());
        let object = (symbols.object_new)(NAME.into());
        (symbols.object_unref)(object);
        (class, object as usize)
    };
    let parent = class.and_then(|class| (symbols.object_class_get_parent)(class));
    let (Some(class), Some(parent)) = (class, parent) else {
        return Err(Refusal::new(
            "TypeInfo: a registered type has no class, or no parent",
        ));
    };
    let is_abstract = (symbols.object_class_is_abstract)(class);
    let parent_is_abstract = (symbols.object_class_is_abstract)(parent);
    let parent_name = (symbols.object_class_get_name)(parent).get();
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
