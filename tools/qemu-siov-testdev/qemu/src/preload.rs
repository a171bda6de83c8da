// SPDX-License-Identifier: GPL-2.0

//! Being loaded by LD_PRELOAD, for a QEMU that takes no plugins or other ones.

use std::ffi::{c_char, c_int};
use std::sync::{Once, OnceLock};

use crate::ffi::ObjectClass;
use crate::libc;
use crate::qemu::Setup;

/// `MODULE_INIT_QOM` (include/qemu/module.h), before QEMU 11 and since.
const REGISTRATION_OF_TYPES: [c_int; 2] = [3, 4];

/// `register_module_init()`: has a function called together with all others of a kind.
type RegisterModuleInit = unsafe extern "C" fn(unsafe extern "C" fn(), c_int);

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
/// To be called from a constructor of a preloaded library. The constructors of QEMU, which come
/// later, queue the registration of their types behind what is queued here; so that only queues
/// itself once more, behind all of them.
pub unsafe fn call_when_types_are_registered(callback: fn(&Setup)) {
    let Some(register) = register_module_init() else {
        return;
    };
    if CALLBACK.set(callback).is_ok() {
        let [old, new] = REGISTRATION_OF_TYPES;
        // SAFETY: QEMU's lists are ready before any constructor.
        unsafe { register(queue::<3>, old) };
        // SAFETY: QEMU's lists are ready before any constructor.
        unsafe { register(queue::<4>, new) };
    }
}

fn register_module_init() -> Option<RegisterModuleInit> {
    // SAFETY: include/qemu/module.h: void register_module_init(void (*)(void), module_init_type)
    unsafe { libc::function(libc::symbol(c"register_module_init")) }
}

/// `void (*)(void)`.
///
/// # Safety
///
/// For the list of this kind.
unsafe extern "C" fn queue<const KIND: c_int>() {
    if let Some(register) = register_module_init() {
        // SAFETY: the list is walked from front to back, and may grow at its end.
        unsafe { register(call, KIND) };
    }
}

/// `void (*)(void)`. One of the two kinds is that of types. With the other, either there are none
/// yet, or all of them.
///
/// # Safety
///
/// For the lists that [`queue`] is for.
unsafe extern "C" fn call() {
    static CALLED: Once = Once::new();
    if !has_types() {
        return;
    }
    // SAFETY: QEMU is being set up, and all of its types are registered.
    let setup = unsafe { Setup::new() };
    CALLED.call_once(|| {
        if let Some(callback) = CALLBACK.get() {
            callback(&setup);
        }
    });
}

type ObjectClassByName = unsafe extern "C" fn(*const c_char) -> *mut ObjectClass;

fn has_types() -> bool {
    let find = libc::symbol(c"object_class_by_name");
    // SAFETY: include/qom/object.h: ObjectClass *object_class_by_name(const char *)
    let Some(find) = (unsafe { libc::function::<ObjectClassByName>(find) }) else {
        return false;
    };
    // SAFETY: types may be looked up while they are registered.
    let class = unsafe { find(c"pci-device".as_ptr()) };
    !class.is_null()
}
