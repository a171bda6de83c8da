// SPDX-License-Identifier: GPL-2.0

//! Fault recording registers, fault status and the invalidation queue's error record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use siov_vtd::fault::FaultRecord;
use siov_vtd::queue::{QueueErrorRecord, QueueSize, Stop};
use siov_vtd::regs::FaultStatus;

fuzz_target!(|raw: [u64; 4]| {
    let [low, high, status, queue] = raw;

    let record = FaultRecord::from_raw([low, high]);
    let text = record.to_string();
    assert!(text.contains("reason") && !text.contains('\n'));
    assert_eq!(record.pasid().is_some(), high & (1 << 31) != 0);
    assert_eq!(record.raw(), raw[..2]);

    let status = FaultStatus::from_bits_retain(status as u32);
    for order in 0..=7 {
        let size = QueueSize::from_order(order).unwrap();
        if let Some(Stop::Iqe { slot } | Stop::Ite { last: slot }) =
            Stop::new(size, status, queue)
        {
            assert!(slot.index() < usize::from(size.slots()));
            assert!(status.intersects(FaultStatus::QUEUE_ERRORS));
        }
    }

    let record = QueueErrorRecord::from_raw(queue);
    assert!(!record.reason().to_string().is_empty());
    assert_eq!(record.timed_out().is_some(), queue & (0xffff << 32) != 0);
    assert_eq!(record.unexpected_completion().is_some(), queue >> 48 != 0);
});
