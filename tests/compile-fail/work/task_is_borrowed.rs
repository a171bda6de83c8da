// SPDX-License-Identifier: GPL-2.0

//! why: A task may run until its work item is dropped, which nobody can be made to do in time.
//! against: linux
//! error: E0310

#![forbid(unsafe_code)]

use linux::work::Task;

/// A task with data.
pub struct With<T>(T);

// misuse {
impl<T: Send + Sync> Task for With<T> {
    fn run(&self) {
        let _ = &self.0;
    }
}
// } else {
impl<T: Send + Sync + 'static> Task for With<T> {
    fn run(&self) {
        let _ = &self.0;
    }
}
// }
