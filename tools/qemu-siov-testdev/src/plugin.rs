// SPDX-License-Identifier: GPL-2.0

//! How QEMU comes to load us: as a plugin or, where that does not work, by LD_PRELOAD.
//!
//! A plugin is loaded after QEMU's types are registered and before it makes devices, which is just
//! the time to add one. A preloaded library starts before QEMU does, and has itself called when the
//! types are registered.

use std::ffi::{c_char, c_int, CStr};
use std::sync::Once;

use qemu_device::{preload, Qemu, Setup};

use crate::device::SiovTestdev;

/// The version of the plugin interface that QEMU 11.1 takes (include/plugins/qemu-plugin.h). We use
/// nothing of it but being loaded.
#[no_mangle]
pub static qemu_plugin_version: c_int = 7;

/// `qemu_info_t` (include/plugins/qemu-plugin.h).
#[repr(C)]
struct Info([u8; 0]);

/// QEMU's plugin entry (include/plugins/qemu-plugin.h). A result that is not 0 ends QEMU with an
/// error.
///
/// # Safety
///
/// For QEMU, which loads plugins by the thread that sets it up, between options and devices, and
/// passes `argc` strings at `argv`.
#[no_mangle]
unsafe extern "C" fn qemu_plugin_install(
    _id: u64,
    _info: *const Info,
    argc: c_int,
    argv: *mut *mut c_char,
) -> c_int {
    // SAFETY: this is that thread, and that time.
    let setup = unsafe { Setup::new() };
    let argument = (argc > 0).then(|| {
        // SAFETY: there is a first one.
        let first = unsafe { *argv };
        // SAFETY: it is a string.
        unsafe { CStr::from_ptr(first) }
    });
    if let Some(argument) = argument {
        let argument = argument.to_string_lossy();
        complain(&format!("unknown plugin argument '{argument}'"));
        return -1;
    }
    if register(&setup) {
        0
    } else {
        -1
    }
}

/// Adds the device's type. False, and a line on standard error, if this QEMU is not understood.
fn register(setup: &Setup) -> bool {
    let qemu = match Qemu::find(setup) {
        Ok(qemu) => qemu,
        Err(refusal) => {
            complain(&refusal.to_string());
            return false;
        }
    };
    let absent = qemu.absent();
    if !absent.is_empty() {
        let list = absent.join(", ");
        complain(&format!(
            "this QEMU lacks {list}; what needs them does not work"
        ));
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| qemu_device::register::<SiovTestdev>(qemu, setup));
    true
}

/// QEMU's own way to report takes locks, which do not exist yet when types are registered.
fn complain(text: &str) {
    eprintln!("siov-testdev: {text}");
}

/// Runs when the library is loaded.
extern "C" fn constructor() {
    // Without the type, -device says that there is no such device.
    let callback = |setup: &Setup| {
        register(setup);
    };
    if preload::is_preloaded() {
        // SAFETY: this is a constructor.
        unsafe { preload::call_when_types_are_registered(callback) };
    }
}

#[used]
#[link_section = ".init_array"]
static CONSTRUCTOR: extern "C" fn() = constructor;
