// SPDX-License-Identifier: GPL-2.0

//! Segments of a processor.

use kvm_bindings::{kvm_segment, kvm_sregs};

/// Has every segment reach all memory. Code is of 64 bits, or of 32.
pub fn flat(sregs: &mut kvm_sregs, long: bool) {
    let code = kvm_segment {
        limit: u32::MAX,
        selector: 8,
        type_: 11,
        present: 1,
        s: 1,
        l: long.into(),
        db: (!long).into(),
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment {
        selector: 16,
        type_: 3,
        l: 0,
        db: 1,
        ..code
    };
    sregs.cs = code;
    for segment in [
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
        &mut sregs.ss,
    ] {
        *segment = data;
    }
}
