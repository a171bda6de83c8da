// SPDX-License-Identifier: GPL-2.0

//! Words that debugfs prints from tables and queues which hardware, or a bug, may have written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use siov_vtd::invalidate::Descriptor;
use siov_vtd::{ContextEntry, PasidEntry};

fuzz_target!(|raw: [u64; 8]| {
    let [a, b, c, d, ..] = raw;
    for text in [
        Descriptor::from_raw([a, b, c, d]).to_string(),
        ContextEntry::from_raw([a, b, c, d]).to_string(),
        PasidEntry::from_raw(raw).to_string(),
    ] {
        assert!(!text.is_empty() && !text.contains('\n'));
    }
});
