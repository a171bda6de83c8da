// SPDX-License-Identifier: GPL-2.0

//! The program that scripts/test, bench, vm and demo become.

#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand};
use nix::sys::signal::Signal;
use siov_harness::command::{bench, demo, test, vm};
use siov_harness::context::Context;
use siov_harness::exit::{self, Code};
use siov_harness::process::{interrupts, Interrupts};
use siov_harness::setup::Setup;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Parser)]
#[command(name = "siov", about = "What scripts/test, bench, vm and demo become.")]
#[command(args_override_self = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All tests, or the named suites.
    Test(test::Args),
    /// Figures in guest instructions.
    Bench(bench::Args),
    /// A guest with given devices and modules.
    Vm(Box<vm::Args>),
    /// The main job, to look at.
    Demo(demo::Args),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Command::Test(_) => "test",
            Command::Bench(_) => "bench",
            Command::Vm(_) => "vm",
            Command::Demo(_) => "demo",
        }
    }

    fn run(&self, context: &Context) -> Result<Code> {
        match self {
            Command::Test(args) => test::run(context, args),
            Command::Bench(args) => bench::run(context, args),
            Command::Vm(args) => vm::run(context, args),
            Command::Demo(args) => demo::run(context, args),
        }
    }
}

/// Ends the run when it is interrupted.
fn watch(mut interrupts: Interrupts, context: &Context, name: &str) {
    let Some(signal) = interrupts.wait() else {
        return;
    };
    context.terminal.silence();
    context.processes.kill_all();
    eprintln!("\n{name}: interrupted; the next run begins the unfinished step anew");
    std::process::exit(match signal {
        Signal::SIGINT => 130,
        _ => 143,
    });
}

/// Ends the thread that shows what runs, also when the run panics.
struct Close<'a>(&'a Context);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.terminal.close();
    }
}

fn run(command: &Command) -> Result<Code> {
    let name = command.name();
    let interrupts = interrupts()?;
    let context = Arc::new(Context::new(name, Setup::from_environment()?));
    // It waits for as long as the process lives, so no scope can hold it.
    std::thread::spawn({
        let context = Arc::clone(&context);
        move || watch(interrupts, &context, name)
    });
    let result = std::thread::scope(|scope| {
        scope.spawn(|| context.terminal.show());
        let _close = Close(&context);
        command.run(&context)
    });
    while context.processes.are_stopped() {
        // What came of it says nothing. The thread above ends the process.
        std::thread::park();
    }
    if matches!(result, Ok(Code::DONE)) {
        context.remove_step_logs();
    }
    result
}

fn main() -> ExitCode {
    let line = Line::parse();
    let code = run(&line.command).unwrap_or_else(|error| {
        let name = line.command.name();
        let code = exit::code_of(&error);
        if !exit::is_shown(&error) {
            eprintln!("{name}: {error:#}");
        }
        if code == Code::USAGE {
            eprintln!("{name}: see 'scripts/{name} --help'");
        }
        code
    });
    ExitCode::from(code.0)
}
