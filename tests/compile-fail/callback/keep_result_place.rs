// SPDX-License-Identifier: GPL-2.0

//! why: Where C waits for a result is lent for the call.
//! against: linux
//! error: E0308 one type is more general than the other

#![forbid(unsafe_code)]

linux::callbacks! {
    /// A function that leaves a number.
    ///
    /// # Safety
    ///
    /// `place` is valid.
    pub unsafe fn count_callback(place: *mut usize => &mut usize) = count;
}

// misuse {
fn count(place: &'static mut usize) {
    *place = 1;
}
// } else {
fn count(place: &mut usize) {
    *place = 1;
}
// }
