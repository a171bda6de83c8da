// SPDX-License-Identifier: GPL-2.0

//! Running test cases and printing KTAP (the kernel's `Documentation/dev-tools/ktap.rst`).
//!
//! Lines that start with `# expect-` are read by `scripts/test`, see `Documentation/harness.rst`.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;

/// A test case: an error is a failure, [`skip`]'s error is a skip.
pub type Result<T = ()> = anyhow::Result<T>;

/// Why a case cannot say anything here.
#[derive(Debug)]
struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// The error of a case that cannot say anything on this machine.
pub fn skip(reason: impl Into<String>) -> anyhow::Error {
    Skip(reason.into()).into()
}

/// Prints a diagnostic line, which the reader of a failure sees.
pub fn note(text: impl fmt::Display) {
    for line in text.to_string().lines() {
        println!("# {line}");
    }
}

/// Announces at most `count` further lines about blocked requests in the kernel's log.
pub fn expect_faults(count: usize) {
    println!("# expect-fault {count}");
}

/// Announces reports of trouble in the kernel's log that match `pattern`, a regular expression.
pub fn expect_console(pattern: &str) {
    println!("# expect-console {pattern}");
}

/// The cases of one program, run in order.
pub struct Plan<'a, C> {
    context: C,
    cases: Vec<Case<'a, C>>,
}

struct Case<'a, C> {
    name: String,
    run: Box<dyn FnMut(&mut C) -> Result + 'a>,
}

impl<'a, C> Plan<'a, C> {
    /// No cases yet. Each will get `context`.
    pub fn new(context: C) -> Self {
        Self {
            context,
            cases: Vec::new(),
        }
    }

    /// Adds a case.
    pub fn case(mut self, name: impl Into<String>, run: impl FnMut(&mut C) -> Result + 'a) -> Self {
        self.cases.push(Case {
            name: name.into(),
            run: Box::new(run),
        });
        self
    }

    /// Runs all cases. A panic fails its case only.
    pub fn run(mut self) -> ExitCode {
        println!("KTAP version 1\n1..{}", self.cases.len());
        let mut failed = false;
        for (index, case) in self.cases.iter_mut().enumerate() {
            let (number, name) = (index + 1, &case.name);
            let context = &mut self.context;
            let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(context)));
            match outcome {
                Ok(Ok(())) => println!("ok {number} {name}"),
                Ok(Err(error)) => match error.downcast_ref::<Skip>() {
                    Some(reason) => println!("ok {number} {name} # SKIP {reason}"),
                    None => {
                        note(format!("{error:#}"));
                        println!("not ok {number} {name}");
                        failed = true;
                    }
                },
                Err(_) => {
                    println!("not ok {number} {name}");
                    failed = true;
                }
            }
        }
        // What the context holds is given back before the program's end is reported.
        drop(self.context);
        ExitCode::from(u8::from(failed))
    }
}

/// Runs `setup`, and the cases that `plan` makes of its result; a failed set-up is a failed case.
pub fn run<C>(setup: impl FnOnce() -> Result<C>, plan: impl FnOnce(C) -> ExitCode) -> ExitCode {
    match setup() {
        Ok(context) => plan(context),
        Err(error) => {
            println!("KTAP version 1\n1..1");
            match error.downcast_ref::<Skip>() {
                Some(reason) => {
                    println!("ok 1 setup # SKIP {reason}");
                    ExitCode::SUCCESS
                }
                None => {
                    note(format!("{error:#}"));
                    println!("not ok 1 setup");
                    ExitCode::FAILURE
                }
            }
        }
    }
}
