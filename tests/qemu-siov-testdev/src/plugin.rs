// SPDX-License-Identifier: GPL-2.0

//! How QEMU comes to load us: as a plugin or, where that does not work, by LD_PRELOAD.
//!
//! A plugin is loaded after QEMU's types are registered and before it makes devices, which is just the
//! time to add one. A preloaded library starts before QEMU does, and has itself called when the types
//! are registered.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::sync::Once;

use qemu_device::{preload, Qemu};

use crate::device::SiovTestdev;

/// The version of the plugin interface that QEMU 11.1 takes (include/plugins/qemu-plugin.h). We use
/// nothing of it but being loaded.
#[no_mangle]
pub static qemu_plugin_version: c_int = 7;

/// QEMU's plugin entry (include/plugins/qemu-plugin.h). A result that is not 0 ends QEMU with an error.
///
/// # Safety
///
/// Called by QEMU, with `argc` strings at `argv`.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    _id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    if argc > 0 {
        // SAFETY: as QEMU promises.
        let argument = unsafe { CStr::from_ptr(*argv) };
        let argument = argument.to_string_lossy();
        complain(&format!("unknown plugin argument '{argument}'"));
        return -1;
    }
    // SAFETY: plugins are loaded by the thread that sets QEMU up, between options and devices.
    if unsafe { register() } {
        0
    } else {
        -1
    }
}

/// Adds the device's type. False, and a line on standard error, if this QEMU is not understood.
///
/// # Safety
///
/// As for [`Qemu::find`] and [`qemu_device::register`].
unsafe fn register() -> bool {
    // SAFETY: as the caller promises.
    let qemu = match unsafe { Qemu::find() } {
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
    // SAFETY: as the caller promises.
    ONCE.call_once(|| unsafe { qemu_device::register::<SiovTestdev>(qemu) });
    true
}

/// QEMU's own way to report takes locks, which do not exist yet when types are registered.
fn complain(text: &str) {
    eprintln!("siov-testdev: {text}");
}

/// Runs when the library is loaded.
extern "C" fn constructor() {
    // Without the type, -device says that there is no such device.
    let callback = || {
        // SAFETY: called by the thread that sets QEMU up.
        unsafe { register() };
    };
    if preload::is_preloaded() {
        // SAFETY: this is a constructor.
        unsafe { preload::call_when_types_are_registered(callback) };
    }
}

#[used]
#[link_section = ".init_array"]
static CONSTRUCTOR: extern "C" fn() = constructor;
