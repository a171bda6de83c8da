// SPDX-License-Identifier: GPL-2.0

//! Being loaded by LD_PRELOAD, for a QEMU that takes no plugins or other ones.

use std::ffi::c_int;
use std::mem::transmute_copy;
use std::sync::{Once, OnceLock};

use crate::ffi::{ObjectClass, Text};
use crate::libc::{self, dlsym, RTLD_DEFAULT};
use crate::qemu::Setup;

/// `MODULE_INIT_QOM` (include/qemu/module.h), before QEMU 11 and since.
const REGISTRATION_OF_TYPES: [c_int; 2] = [3, 4];

/// `register_module_init()`: has a function called together with all others of a kind.
type RegisterModuleInit = unsafe extern "C" fn(extern "C" fn(), c_int);

static CALLBACK: OnceLock<fn(&Setup)> = OnceLock::new();

/// Whether LD_PRELOAD names the library that this code is in.
pub fn is_preloaded() -> bool {
    let here = is_preloaded as *const () as usize;
    let Some(library) = libc::object_at(here) else {
        return false;
    };
    let name = |path: &str| path.rsplit('/').next().map(String::from);
    let list = std::env::var("LD_PRELOAD").unwrap_or_default();
    list.split([':', ' '])
        .any(|entry| name(entry) == name(&library.path))
}

/// Has `callback` called once QEMU has registered its types; does nothing in any other program.
///
/// # Safety
///
/// To be called from a constructor of a preloaded library. The constructors of QEMU, which come later,
/// queue the registration of their types behind what is queued here; so that only queues itself once
/// more, behind all of them.
pub unsafe fn call_when_types_are_registered(callback: fn(&Setup)) {
    let Some(register) = register_module_init() else {
        return;
    };
    if CALLBACK.set(callback).is_ok() {
        for (kind, function) in REGISTRATION_OF_TYPES
            .into_iter()
            .zip([queue::<3>, queue::<4>])
        {
            // SAFETY: QEMU's lists are ready before any constructor.
            unsafe { register(function, kind) };
        }
    }
}

fn register_module_init() -> Option<RegisterModuleInit> {
    // SAFETY: the function of that name has this type; null is `None`.
    unsafe { transmute_copy(&dlsym(RTLD_DEFAULT, c"register_module_init".into())) }
}

extern "C" fn queue<const KIND: c_int>() {
    if let Some(register) = register_module_init() {
        // SAFETY: the list is walked from front to back, and may grow at its end.
        unsafe { register(call, KIND) };
    }
}

/// One of the two kinds is that of types. With the other, either there are none yet, or all of them.
extern "C" fn call() {
    static CALLED: Once = Once::new();
    // SAFETY: the function of that name has this type. QEMU is being set up; if there are types, all of
    // them are registered.
    let setup = unsafe {
        let find = dlsym(RTLD_DEFAULT, c"object_class_by_name".into());
        let find: Option<extern "C" fn(Text<'_>) -> Option<&ObjectClass>> = transmute_copy(&find);
        let class = find.and_then(|find| find(c"pci-device".into()));
        class.map(|_| Setup::new())
    };
    if let Some(setup) = setup {
        CALLED.call_once(|| {
            if let Some(callback) = CALLBACK.get() {
                callback(&setup);
            }
        });
    }
}
