// SPDX-License-Identifier: GPL-2.0

//! The file of a case: what its header says, and the two programs in it.

use anyhow::{bail, ensure, Context, Result};
use std::path::PathBuf;

/// What a case is compiled with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Against {
    /// It is a crate of its own, which uses these crates.
    Crates(Vec<String>),
    /// It is a module of the crate with this root, a path in the checkout.
    Driver(PathBuf),
}

/// One kind of error that the compiler has to report.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// Its code; `None` for any, or none.
    pub code: Option<String>,
    /// A part of its message; may be empty.
    pub fragment: String,
}

impl Expected {
    /// Reads `E0277`, `part of the message`, or both in this order.
    fn parse(text: &str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let is_code = first.len() == 5
            && first.starts_with('E')
            && first.bytes().skip(1).all(|byte| byte.is_ascii_digit());
        if is_code {
            Self {
                code: Some(first.to_owned()),
                fragment: rest.trim().to_owned(),
            }
        } else {
            Self {
                code: None,
                fragment: text.to_owned(),
            }
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) if self.fragment.is_empty() => write!(f, "{code}"),
            Some(code) => write!(f, "{code} \"{}\"", self.fragment),
            None => write!(f, "\"{}\"", self.fragment),
        }
    }
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its path below tests/compile-fail, without `.rs`.
    pub name: String,
    /// Why the program is refused.
    pub why: String,
    /// What it is compiled with.
    pub against: Against,
    /// Each of these has to be reported, and nothing else. Empty for a program that has to compile.
    pub errors: Vec<Expected>,
    /// The program with the misuse. For a program that has to compile, the program.
    pub misuse: String,
    /// The program without the misuse, which has to compile.
    pub twin: Option<String>,
}

const BEGIN: &str = "// misuse {";
const ELSE: &str = "// } else {";
const END: &str = "// }";

impl Case {
    /// Reads the file of the case `name`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        ensure!(
            text.lines().any(|line| line == "#![forbid(unsafe_code)]"),
            "no line #![forbid(unsafe_code)]: a case is safe code"
        );
        let header = Header::parse(text)?;
        let has_misuse = text.lines().any(|line| line.trim() == BEGIN);
        let (errors, twin) = match (header.pass, has_misuse) {
            (true, false) => (Vec::new(), None),
            (false, true) => (header.errors, Some(select(text, false)?)),
            (true, true) => bail!("\"pass\" and \"{BEGIN}\" exclude each other"),
            (false, false) => {
                bail!("no \"{BEGIN}\": the program without the misuse has to compile")
            }
        };
        ensure!(
            header.pass || !errors.is_empty(),
            "no \"error:\" in the header"
        );
        Ok(Self {
            name: name.to_owned(),
            why: header.why.context("no \"why:\" in the header")?,
            against: header.against.context("no \"against:\" in the header")?,
            errors,
            misuse: select(text, true)?,
            twin,
        })
    }
}

#[derive(Default)]
struct Header {
    why: Option<String>,
    against: Option<Against>,
    errors: Vec<Expected>,
    pass: bool,
}

impl Header {
    /// Reads the `//!` lines. A line that is indented continues the one before it.
    fn parse(text: &str) -> Result<Self> {
        let mut entries: Vec<String> = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("//! ")) {
            match (line.strip_prefix(' '), entries.last_mut()) {
                (Some(more), Some(last)) => {
                    last.push(' ');
                    last.push_str(more.trim());
                }
                _ => entries.push(line.to_owned()),
            }
        }
        let mut header = Self::default();
        for entry in &entries {
            let (key, value) = entry.split_once(':').unwrap_or((entry, ""));
            let value = value.trim();
            ensure!(key == "pass" || !value.is_empty(), "\"{key}:\" is empty");
            match key {
                "why" => header.why = Some(value.to_owned()),
                "against" => header.against = Some(against(value)),
                "error" => header.errors.push(Expected::parse(value)),
                "pass" => header.pass = true,
                _ => bail!("unknown line in the header: {entry}"),
            }
        }
        Ok(header)
    }
}

fn against(value: &str) -> Against {
    if value.ends_with(".rs") {
        Against::Driver(value.into())
    } else {
        Against::Crates(value.split_whitespace().map(str::to_owned).collect())
    }
}

/// The program with the misuse, or the one without. What is left out leaves empty lines, so that
/// the numbers of lines in messages are those of the file.
fn select(text: &str, misuse: bool) -> Result<String> {
    let mut selected = String::with_capacity(text.len());
    // In a region: whether its lines belong to the program with the misuse.
    let mut region = None;
    for line in text.lines() {
        let next = match (line.trim(), region) {
            (BEGIN, None) => Some(Some(true)),
            (ELSE, Some(true)) => Some(Some(false)),
            (END, Some(_)) => Some(None),
            (BEGIN | ELSE, _) => bail!("\"{}\" in the wrong place", line.trim()),
            _ => None,
        };
        if let Some(next) = next {
            region = next;
        } else if region.is_none_or(|of_misuse| of_misuse == misuse) {
            selected.push_str(line);
        }
        selected.push('\n');
    }
    ensure!(region.is_none(), "\"{BEGIN}\" without \"{END}\"");
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "\
// SPDX-License-Identifier: GPL-2.0

//! why: Two writers
//!     are one too many.
//! against: linux linux_aux
//! error: E0499
//! error: E0277 cannot be sent
//! error: usage of an `unsafe` block
#![forbid(unsafe_code)]
fn always() {}
// misuse {
fn wrong() {}
// } else {
fn right() {}
// }
";

    #[test]
    fn a_case_is_two_programs() {
        let case = Case::parse("a/b", CASE).unwrap();
        assert_eq!(case.why, "Two writers are one too many.");
        assert_eq!(
            case.against,
            Against::Crates(vec!["linux".into(), "linux_aux".into()])
        );
        let shown: Vec<_> = case.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "E0499",
                "E0277 \"cannot be sent\"",
                "\"usage of an `unsafe` block\""
            ]
        );
        let twin = case.twin.unwrap();
        for (program, has, lacks) in [(&case.misuse, "wrong", "right"), (&twin, "right", "wrong")] {
            assert!(program.contains(has) && !program.contains(lacks));
            assert!(program.contains("always"));
            let line = |what: &str, text: &str| text.lines().position(|line| line.contains(what));
            assert_eq!(line(has, program), line(has, CASE));
        }
    }

    #[test]
    fn a_path_names_a_driver() {
        let text = CASE.replace("linux linux_aux", "drivers/a/a.rs");
        let case = Case::parse("x", &text).unwrap();
        assert_eq!(case.against, Against::Driver("drivers/a/a.rs".into()));
    }

    #[test]
    fn a_program_that_has_to_compile_has_no_twin() {
        let text = "//! why: w\n//! against: linux\n//! pass\n#![forbid(unsafe_code)]\n";
        let case = Case::parse("x", text).unwrap();
        assert!(case.errors.is_empty() && case.twin.is_none());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_an_error() {
        for (from, to) in [
            ("//! why: Two writers\n//!     are one too many.\n", ""),
            (
                "//! why: Two writers\n//!     are one too many.\n",
                "//! why:\n",
            ),
            ("//! against: linux linux_aux\n", ""),
            ("//! error: E0499\n", "//! eror: E0499\n"),
            ("//! error: E0499\n", "//! pass\n"),
            ("#![forbid(unsafe_code)]\n", ""),
            ("// misuse {\n", ""),
            ("fn right() {}\n// }\n", "fn right() {}\n"),
            ("fn right() {}\n", "// misuse {\n"),
            ("fn right() {}\n", "// } else {\n"),
        ] {
            assert!(CASE.contains(from));
            assert!(
                Case::parse("x", &CASE.replace(from, to)).is_err(),
                "{from} -> {to}"
            );
        }
        let none: Vec<_> = CASE.lines().filter(|l| !l.contains("error")).collect();
        assert!(Case::parse("x", &none.join("\n")).is_err());
    }
}
