// SPDX-License-Identifier: GPL-2.0

//! What rustc says of the types that bindgen made of the prototypes: a crate that calls each of
//! them, and holds the controls.

use crate::bindings::Bindings;
use crate::slot::{Kind, Slot};
use std::fmt::Write as _;

/// The crate's name.
pub const CRATE: &str = "kcfi_probe";

/// A function that differs from its C prototype in the sign of a parameter, in a C table.
pub const WRONG: &str = "wrong";

/// A function that does not, in the same table.
pub const RIGHT: &str = "right";

const HEAD: &str = "\
// SPDX-License-Identifier: GPL-2.0

//! Made by kcfi-check. Nothing here is ever run.

#![allow(missing_docs, clippy::all)]

use core::ffi::c_void;
use core::mem::{transmute, zeroed};
use kernel::ffi::{c_int, c_long, c_ulong};
use linux::bindings;

unsafe extern \"C\" fn right(_: *mut bindings::notifier_block, _: c_ulong, _: *mut c_void) -> c_int {
    0
}

unsafe extern \"C\" fn wrong(_: *mut bindings::notifier_block, _: c_long, _: *mut c_void) -> c_int {
    0
}

type Right = unsafe extern \"C\" fn(*mut bindings::notifier_block, c_ulong, *mut c_void) -> c_int;
type Wrong = unsafe extern \"C\" fn(*mut bindings::notifier_block, c_long, *mut c_void) -> c_int;

pub fn controls() -> [bindings::notifier_block; 2] {
    [
        bindings::notifier_block {
            notifier_call: Some(right),
            next: core::ptr::null_mut(),
            priority: 0,
        },
        bindings::notifier_block {
            notifier_call: Some(unsafe { transmute::<Wrong, Right>(wrong) }),
            next: core::ptr::null_mut(),
            priority: 0,
        },
    ]
}
";

/// `prefix0, prefix1, ..`
fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

/// The crate's source: for each slot a function `kcfi_slot_N` with one indirect call.
pub fn source(slots: &[Slot], bindings: &Bindings) -> String {
    let mut text = HEAD.to_owned();
    for (number, slot) in slots.iter().enumerate() {
        let zeros = vec!["zeroed()"; slot.arity].join(", ");
        let head = format!("\n#[no_mangle]\npub unsafe fn kcfi_slot_{number}");
        let _ = match &slot.kind {
            Kind::Field { record, field } => write!(
                text,
                "{head}(record: *const bindings::{record}) {{
    unsafe {{
        let function = (*record).{field}.unwrap_unchecked();
        let _ = function({zeros});
    }}
}}
"
            ),
            Kind::Parameter { function, index } => {
                let pointer = pointer("P", slot.arity);
                let outer = numbered("A", bindings.arity(function).unwrap_or(0));
                let mut parameters = outer.clone();
                if let Some(parameter) = parameters.get_mut(*index) {
                    *parameter = format!("Option<{pointer}>");
                }
                let unused: Vec<String> = outer
                    .into_iter()
                    .enumerate()
                    .filter(|(number, _)| number != index)
                    .map(|(_, name)| name)
                    .collect();
                let generic = [numbered("P", slot.arity), unused].concat().join(", ");
                write!(
                    text,
                    "{head}(pointer: *const c_void) {{
    #[inline(always)]
    unsafe fn call<Q, R, {generic}>(
        _: unsafe extern \"C\" fn({}) -> R,
        pointer: *const c_void,
    ) {{
        unsafe {{
            let function = pointer.cast::<{pointer}>().read();
            let _ = function({zeros});
        }}
    }}
    unsafe {{ call(bindings::{function}, pointer) }}
}}
",
                    parameters.join(", ")
                )
            }
            Kind::Function { name } => {
                // Not every function that is exported by name has bindings.
                if bindings.arity(name).is_none() {
                    continue;
                }
                let pointer = pointer("P", slot.arity);
                let generic = numbered("P", slot.arity).join(", ");
                write!(
                    text,
                    "{head}(pointer: *const c_void) {{
    #[inline(always)]
    unsafe fn call<Q, {generic}>(_: {pointer}, pointer: *const c_void) {{
        unsafe {{
            let function = pointer.cast::<{pointer}>().read();
            let _ = function({zeros});
        }}
    }}
    unsafe {{ call(bindings::{name}, pointer) }}
}}
"
                )
            }
        };
    }
    text
}

/// A pointer to a function whose types the compiler finds out.
fn pointer(prefix: &str, arity: usize) -> String {
    format!(
        "unsafe extern \"C\" fn({}) -> Q",
        numbered(prefix, arity).join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let bindings = Bindings::parse(&["
extern \"C\" {
    pub fn walk(
        dev: *mut device,
        f: ::core::option::Option<unsafe extern \"C\" fn(arg1: *mut device) -> ffi::c_int>,
    ) -> ffi::c_int;
}
"]);
        let text = source(
            &[
                Slot::field("ops", "open", 2),
                Slot::parameter("walk", 1, 1),
                Slot::function("walk", 2),
                Slot::function("not_in_bindings", 2),
            ],
            &bindings,
        );
        assert!(text.contains("(*record).open.unwrap_unchecked()"));
        assert!(text.contains("call<Q, R, P0, A0>"));
        assert!(text.contains("fn(A0, Option<unsafe extern \"C\" fn(P0) -> Q>) -> R"));
        assert!(text.contains("call(bindings::walk, pointer)"));
        assert!(text.contains("kcfi_slot_2"));
        assert!(!text.contains("kcfi_slot_3"));
    }
}
