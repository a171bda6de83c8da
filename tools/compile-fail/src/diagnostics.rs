// SPDX-License-Identifier: GPL-2.0

//! What the compiler says, and whether that is what a case expects.

use crate::case::Expected;

/// One error of the compiler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    /// Its code; lints and some errors have none.
    pub code: Option<String>,
    /// The first line of its message.
    pub message: String,
}

impl Error {
    fn is(&self, expected: &Expected) -> bool {
        let code = expected.code.is_none() || expected.code == self.code;
        code && self.message.contains(&expected.fragment)
    }
}

/// How one compilation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the compiler was content.
    pub compiles: bool,
    /// Its errors.
    pub errors: Vec<Error>,
    /// All that it printed.
    pub text: String,
}

impl Outcome {
    /// Reads what `--error-format=short` printed.
    pub fn new(compiles: bool, text: String) -> Self {
        let errors = text.lines().filter_map(error).collect();
        Self {
            compiles,
            errors,
            text,
        }
    }
}

/// Reads `FILE:LINE:COLUMN: error[CODE]: MESSAGE`; without a place for some errors, and without a
/// code for others.
fn error(line: &str) -> Option<Error> {
    let severity = if line.starts_with("error") {
        line
    } else {
        line.split_once(": ")?.1
    };
    let rest = severity.strip_prefix("error")?;
    let (code, message) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (code, message) = rest.split_once("]: ")?;
            (Some(code.to_owned()), message)
        }
        None => (None, rest.strip_prefix(": ")?),
    };
    // The summary.
    if message.starts_with("aborting due to") {
        return None;
    }
    Some(Error {
        code,
        message: message.to_owned(),
    })
}

/// What came of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The program with the misuse compiles.
    Accepted,
    /// There are other errors than expected: these were not expected, and these did not come.
    OtherErrors(Vec<Error>, Vec<Expected>),
    /// The program without the misuse is refused.
    TwinRefused,
}

/// Judges a case by what came of the program with the misuse and of the one without.
pub fn judge(expected: &[Expected], misuse: &Outcome, twin: Option<&Outcome>) -> Verdict {
    if twin.is_some_and(|twin| !twin.compiles) {
        return Verdict::TwinRefused;
    }
    if misuse.compiles {
        return if expected.is_empty() {
            Verdict::Ok
        } else {
            Verdict::Accepted
        };
    }
    let others: Vec<_> = misuse
        .errors
        .iter()
        .filter(|error| !expected.iter().any(|expected| error.is(expected)))
        .cloned()
        .collect();
    let missing: Vec<_> = expected
        .iter()
        .filter(|expected| !misuse.errors.iter().any(|error| error.is(expected)))
        .cloned()
        .collect();
    // A compiler that failed without an error has crashed.
    if others.is_empty() && missing.is_empty() && !misuse.errors.is_empty() {
        Verdict::Ok
    } else {
        Verdict::OtherErrors(others, missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
/tmp/a.rs:3:5: error[E0499]: cannot borrow `*a` as mutable more than once at a time: second
/tmp/a.rs:4:5: warning: unused variable: `error: x`
/tmp/a.rs:5:1: error: usage of an `unsafe` block
error[E0601]: no main
error: aborting due to 3 previous errors; 1 warning emitted
";

    fn outcome(text: &str) -> Outcome {
        Outcome::new(text.is_empty(), text.to_owned())
    }

    fn expected(code: &str, fragment: &str) -> Expected {
        Expected {
            code: (!code.is_empty()).then(|| code.to_owned()),
            fragment: fragment.to_owned(),
        }
    }

    #[test]
    fn errors_are_found_in_what_the_compiler_prints() {
        let found = outcome(PRINTED).errors;
        let codes: Vec<_> = found.iter().map(|error| error.code.as_deref()).collect();
        assert_eq!(codes, [Some("E0499"), None, Some("E0601")]);
        assert_eq!(found[1].message, "usage of an `unsafe` block");
    }

    #[test]
    fn each_expected_error_has_to_come_and_no_other() {
        let twice = expected("E0499", "more than once");
        let block = expected("", "`unsafe` block");
        let main = expected("E0601", "");
        let all = [twice.clone(), block.clone(), main.clone()];
        assert_eq!(judge(&all, &outcome(PRINTED), None), Verdict::Ok);

        let Verdict::OtherErrors(others, missing) = judge(&all[..2], &outcome(PRINTED), None)
        else {
            panic!("an error that is not expected passes");
        };
        assert_eq!((others.len(), missing.len()), (1, 0));

        let fifth = expected("E0005", "");
        let more = [twice, block, main, fifth.clone()];
        let verdict = judge(&more, &outcome(PRINTED), None);
        assert_eq!(verdict, Verdict::OtherErrors(vec![], vec![fifth]));
    }

    #[test]
    fn a_code_with_another_message_is_another_error() {
        let printed = "a.rs:1:1: error[E0277]: `X` cannot be shared between threads safely\n";
        let wanted = [expected("E0277", "cannot be sent")];
        assert!(matches!(
            judge(&wanted, &outcome(printed), None),
            Verdict::OtherErrors(..)
        ));
    }

    #[test]
    fn a_misuse_that_compiles_and_a_twin_that_does_not_are_found() {
        let wanted = [expected("E0499", "")];
        assert_eq!(judge(&wanted, &outcome(""), None), Verdict::Accepted);
        assert_eq!(judge(&[], &outcome(""), None), Verdict::Ok);
        let refused = outcome("a.rs:1:1: error[E0499]: x\n");
        assert_eq!(judge(&wanted, &refused, Some(&outcome(""))), Verdict::Ok);
        assert_eq!(
            judge(&wanted, &refused, Some(&refused)),
            Verdict::TwinRefused
        );
    }

    #[test]
    fn a_compiler_that_crashes_refuses_nothing() {
        let crashed = outcome("thread 'rustc' panicked\n");
        assert!(matches!(
            judge(&[], &crashed, None),
            Verdict::OtherErrors(..)
        ));
    }
}
