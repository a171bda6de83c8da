// SPDX-License-Identifier: GPL-2.0

//! Exit codes, the same for every script; Documentation/harness.rst explains them to users, and
//! scripts/lib/common.sh has those of the set-up.

use std::fmt;
use std::process::ExitStatus;

/// An exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Code(pub u8);

impl Code {
    /// Done; all tests passed.
    pub const DONE: Code = Code(0);
    /// A test, a build or a step failed.
    pub const FAILED: Code = Code(1);
    /// Usage.
    pub const USAGE: Code = Code(2);
    /// A guest did not finish in time.
    pub const TIMEOUT: Code = Code(8);
    /// A guest's kernel panicked.
    pub const PANIC: Code = Code(9);
    /// A guest ended without finishing.
    pub const GUEST: Code = Code(10);

    /// What a failed step of the shell means: its own code if a check of the set-up gave it, else
    /// [`Code::FAILED`].
    pub fn of_step(status: ExitStatus) -> Self {
        match status.code().map(u8::try_from) {
            Some(Ok(0)) => Code::DONE,
            Some(Ok(code @ 3..=10)) => Code(code),
            _ => Code::FAILED,
        }
    }
}

/// An error with an exit code other than [`Code::FAILED`].
#[derive(Debug)]
pub struct Coded {
    /// The code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// A wrong command line.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Coded {
        code: Code::USAGE,
        message: message.into(),
    })
}

/// A failure that has been shown already.
#[derive(Debug)]
pub struct Shown(pub Code);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step failed")
    }
}

impl std::error::Error for Shown {}

/// The exit code that an error stands for.
pub fn code_of(error: &anyhow::Error) -> Code {
    let coded = error.downcast_ref::<Coded>().map(|coded| coded.code);
    let shown = error.downcast_ref::<Shown>().map(|shown| shown.0);
    coded.or(shown).unwrap_or(Code::FAILED)
}

/// Whether the user knows of an error already.
pub fn is_shown(error: &anyhow::Error) -> bool {
    error.is::<Shown>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn errors_have_codes() {
        assert_eq!(code_of(&anyhow::anyhow!("x")), Code::FAILED);
        assert_eq!(code_of(&usage("x")), Code::USAGE);
        let error = Err::<(), _>(usage("x")).context("y").unwrap_err();
        assert_eq!(code_of(&error), Code::USAGE);
        assert!(!is_shown(&error));
        let error = anyhow::Error::new(Shown(Code(5)));
        assert_eq!((code_of(&error), is_shown(&error)), (Code(5), true));
    }

    #[test]
    fn steps_pass_on_the_codes_of_the_set_up() {
        let of = |code: i32| Code::of_step(ExitStatus::from_raw(code << 8)).0;
        for (code, expected) in [(0, 0), (1, 1), (2, 1), (3, 3), (10, 10), (11, 1), (101, 1)] {
            assert_eq!(of(code), expected, "{code}");
        }
        assert_eq!(Code::of_step(ExitStatus::from_raw(9)), Code::FAILED);
    }
}
