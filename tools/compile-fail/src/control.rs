// SPDX-License-Identifier: GPL-2.0

//! Programs that show at each run that the suite notices what is wrong.

use crate::case::Case;
use crate::compile::{check, Places};
use crate::diagnostics::Verdict;
use anyhow::Result;

/// A case whose verdict is known.
pub struct Control {
    /// What it shows.
    pub name: &'static str,
    errors: &'static str,
    body: &'static str,
    has_verdict: fn(&Verdict) -> bool,
}

const TWICE: &str =
    "pub fn twice(a: &mut u32) { let b = &mut *a; let c = &mut *a; *b = 1; *c = 2; }";

const MOVED: &str =
    "pub fn moved(a: kernel::str::CString) { let b = &a; drop(a); let _ = b.len(); }";

/// All of them.
pub const CONTROLS: &[Control] = &[
    Control {
        name: "control/a misuse that compiles is noticed",
        errors: "E0499",
        body: "// misuse {\npub fn once(a: &mut u32) { *a = 1; }\n// }\n",
        has_verdict: |verdict| matches!(verdict, Verdict::Accepted),
    },
    Control {
        name: "control/a misspelt name does not pass for the expected error",
        errors: "E0499",
        body: "// misuse {\npub fn typo(a: &mut u32) { *b = 1; }\n// }\n",
        has_verdict: |verdict| {
            matches!(verdict, Verdict::OtherErrors(others, missing)
                if others.len() == 1 && missing.len() == 1)
        },
    },
    Control {
        name: "control/a further error is noticed",
        errors: "E0499",
        body: "// misuse {\nTWICE\nMOVED\n// }\n",
        has_verdict: |verdict| {
            matches!(verdict, Verdict::OtherErrors(others, missing)
                if others.len() == 1 && missing.is_empty())
        },
    },
    Control {
        name: "control/a twin that is refused is noticed",
        errors: "E0499",
        body: "// misuse {\npub fn other() {}\n// }\nTWICE\n",
        has_verdict: |verdict| matches!(verdict, Verdict::TwinRefused),
    },
    Control {
        name: "control/unsafe code is refused",
        errors: "usage of an `unsafe` block",
        body: "// misuse {\npub fn read(p: *const u32) -> u32 { unsafe { *p } }\n// }\n",
        has_verdict: |verdict| matches!(verdict, Verdict::Ok),
    },
];

impl Control {
    /// Whether the suite judges it as it has to. The text is what the compiler printed.
    ///
    /// # Errors
    ///
    /// When the compiler cannot be run.
    pub fn holds(&self, places: &Places) -> Result<(bool, String)> {
        let body = self.body.replace("TWICE", TWICE).replace("MOVED", MOVED);
        let text = format!(
            "//! why: {}\n//! against: linux\n//! error: {}\n#![forbid(unsafe_code)]\n{body}",
            self.name, self.errors
        );
        let judged = check(places, &Case::parse(self.name, &text)?)?;
        Ok(((self.has_verdict)(&judged.verdict), judged.text))
    }
}
