// SPDX-License-Identifier: GPL-2.0

//! Values for good, which hooks can have.

use std::sync::Mutex;

/// Where detectors of leaks find them.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Keeps `value` until the program ends.
pub fn keep<T>(value: T) -> &'static T {
    let kept: &'static T = Box::leak(Box::new(value));
    let address = std::ptr::from_ref(kept).expose_provenance();
    KEPT.lock().unwrap().push(address);
    kept
}
