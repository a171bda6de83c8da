// SPDX-License-Identifier: GPL-2.0

//! A run of a guest.

use super::initramfs;
use super::qemu::{command_line, quoted, Boot};
use super::value::Plugin;
use super::Guest;
use crate::context::{read_lossy, Context};
use crate::process::Ended;
use crate::session;
use crate::verdict::End;
use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the output of commands goes that put a guest together.
pub enum Log {
    /// To the user.
    Inherit,
    /// To a file.
    File(File),
}

impl Log {
    /// Gives it to a command.
    ///
    /// # Errors
    ///
    /// The file cannot be duplicated.
    pub fn attach(&self, command: &mut Command) -> Result<()> {
        command.stdin(Stdio::null());
        if let Log::File(file) = self {
            command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        }
        Ok(())
    }

    fn say(&self, text: &str) -> Result<()> {
        match self {
            Log::Inherit => writeln!(std::io::stdout(), "{text}")?,
            Log::File(file) => {
                let mut file: &File = file;
                writeln!(file, "{text}")?;
            }
        }
        Ok(())
    }
}

/// Where a guest is put together and leaves its logs: `console.log` (kernel), `output.log`
/// (commands), `qemu.log`, `command` (QEMU's command line) and `end`.
pub struct Place<'a> {
    /// The directory, by its real path.
    pub dir: &'a Path,
    /// The log of putting it together.
    pub log: Log,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// In which way.
    pub end: End,
    /// Status of the first command that failed, or QEMU's if the guest did not finish.
    pub status: i32,
}

/// A guest that is ready to boot.
pub struct Prepared {
    command: Command,
    interactive: bool,
}

/// Puts a guest together.
///
/// # Errors
///
/// Something is missing or cannot be built.
pub fn prepare(context: &Context, guest: &Guest, place: &Place<'_>) -> Result<Prepared> {
    let dir = place.dir;
    let end = dir.join("end");
    if end.exists() {
        fs::remove_file(&end)?;
    }
    File::create(dir.join("console.log"))?;
    File::create(dir.join("output.log"))?;
    let plugins = find_plugins(context, guest)?;
    initramfs::make(context, guest, place)?;
    for disk in &guest.disks {
        File::create(disk.image(dir))?.set_len(disk.size.bytes())?;
    }
    let words = command_line(
        guest,
        &Boot {
            kernel: &context.setup.image,
            debug: context.setup.debug,
            dir,
            plugins: &plugins,
            socket: &socket(),
        },
    );
    fs::write(dir.join("command"), quoted(&words) + "\n")?;
    let mut root = context.setup.root().bind(dir);
    for plugin in &plugins {
        if let Some(folder) = Path::new(&plugin.library).parent() {
            root = root.bind(folder);
        }
    }
    Ok(Prepared {
        command: root.command(words),
        interactive: guest.shell,
    })
}

/// A plugin is a file, or the name of one that the workspace builds.
fn find_plugins(context: &Context, guest: &Guest) -> Result<Vec<Plugin>> {
    let find = |plugin: &Plugin| {
        let mut path = PathBuf::from(&plugin.library);
        if !path.exists() {
            path = context.setup.plugin(&plugin.library);
        }
        let path = path.canonicalize().with_context(|| {
            format!(
                "plugin {}: neither a file nor built by the workspace",
                plugin.library
            )
        })?;
        Ok(Plugin {
            library: path.display().to_string(),
            arguments: plugin.arguments.clone(),
        })
    };
    guest.plugins.iter().map(find).collect()
}

/// A name that no other guest has.
fn socket() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!(
        "siov-{}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed),
        now.unwrap_or_default().subsec_nanos()
    )
}

impl Prepared {
    /// Lets a person use the guest.
    ///
    /// # Errors
    ///
    /// QEMU cannot be started.
    pub fn run_shell(mut self, context: &Context, place: &Place<'_>) -> Result<()> {
        debug_assert!(self.interactive);
        context.processes.run_in_foreground(&mut self.command)?;
        fs::remove_file(place.dir.join("initramfs"))?;
        Ok(())
    }

    /// Runs it to its end, or for its time.
    ///
    /// # Errors
    ///
    /// QEMU cannot be started, or a log cannot be read.
    pub fn run(mut self, context: &Context, guest: &Guest, place: &Place<'_>) -> Result<Outcome> {
        let dir = place.dir;
        let console = dir.join("console.log");
        let mut ended = self.boot(context, guest, dir)?;
        let text = read_lossy(&console).unwrap_or_default();
        let reason = if stopped_before_init(&ended, &text) {
            Some("the kernel did not get to /init")
        } else if has_stale_breakpoint(&text) {
            Some("QEMU executed a breakpoint that was patched away")
        } else {
            None
        };
        if let Some(reason) = reason {
            fs::rename(&console, dir.join("console.first.log"))?;
            place
                .log
                .say(&format!("{reason} (console.first.log): booted again"))?;
            ended = self.boot(context, guest, dir)?;
        }
        fs::remove_file(dir.join("initramfs"))?;
        let outcome = outcome(
            ended,
            &read_lossy(&dir.join("output.log"))?,
            &read_lossy(&console).unwrap_or_default(),
        );
        let text = format!("{} {}\n", outcome.end.word(), outcome.status);
        fs::write(dir.join("end"), text)?;
        Ok(outcome)
    }

    fn boot(&mut self, context: &Context, guest: &Guest, dir: &Path) -> Result<Ended> {
        let log = File::create(dir.join("qemu.log"))?;
        self.command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        context
            .processes
            .run(&mut self.command, Some(guest.timeout))
    }
}

/// On a machine with much else to do, a guest's kernel stops now and then while it sets its clocks
/// and processors up. That is before anything of ours is loaded, and says nothing about it.
fn stopped_before_init(ended: &Ended, console: &str) -> bool {
    let stopped = matches!(ended, Ended::TimedOut) || console.contains(PANIC);
    stopped && !console.contains("Run /init as init process")
}

/// Judges from the logs what QEMU's end means.
fn outcome(ended: Ended, output: &str, console: &str) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    let (timed_out, status) = match ended {
        Ended::TimedOut => (true, TIMED_OUT),
        Ended::Exited(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            (false, code.unwrap_or(-1))
        }
    };
    match session::parse(output).done {
        Some(status) => Outcome {
            end: End::Finished,
            status,
        },
        None if console.contains(PANIC) => Outcome {
            end: End::Panic,
            status,
        },
        None if timed_out => Outcome {
            end: End::Timeout,
            status,
        },
        // QEMU did not start, or the guest was reset.
        None => Outcome {
            end: End::Lost,
            status,
        },
    }
}

/// The kernel puts a breakpoint over an instruction while it changes it (static keys, ftrace), and
/// takes it away when all processors know the new one. Emulated processors sometimes execute it
/// after that. Such an Oops, not in a module, shows the byte before the one that it marks, where
/// the breakpoint (`cc`) would be, to be none.
fn has_stale_breakpoint(console: &str) -> bool {
    let mut lines = console
        .lines()
        .skip_while(|line| !line.contains("Oops: int3:"));
    let place = lines.find_map(|line| line.split_once("RIP: "));
    if place.is_none_or(|(_, place)| place.contains('[')) {
        return false;
    }
    let code = lines.find_map(|line| line.split_once("Code: "));
    code.and_then(|(_, bytes)| {
        let (before, _) = bytes.split_once('<')?;
        before.split_whitespace().last()
    })
    .is_some_and(|byte| byte != "cc")
}

const PANIC: &str = "Kernel panic - not syncing";

/// What timeout(1) gives.
const TIMED_OUT: i32 = 124;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn ends() {
        let exited = |code: i32| Ended::Exited(ExitStatus::from_raw(code << 8));
        let done = "siov-guest: run plain x\nsiov-guest: exit 3\nsiov-guest: done 3\n";
        let panic = "[    1.0] Kernel panic - not syncing: x\n";
        for (ended, output, console, end, status) in [
            (exited(0), done, "", End::Finished, 3),
            (exited(0), "siov-guest: done 0\n", panic, End::Finished, 0),
            (Ended::TimedOut, done, "", End::Finished, 3),
            (exited(0), "", panic, End::Panic, 0),
            (Ended::TimedOut, "", panic, End::Panic, 124),
            (Ended::TimedOut, "x", "", End::Timeout, 124),
            (exited(1), "", "", End::Lost, 1),
            (
                Ended::Exited(ExitStatus::from_raw(9)),
                "",
                "",
                End::Lost,
                137,
            ),
        ] {
            assert_eq!(outcome(ended, output, console), Outcome { end, status });
        }
    }

    #[test]
    fn a_kernel_that_stops_before_init() {
        let console = include_str!("../../tests/data/boot-7.3.log");
        let early: Vec<_> = console.lines().take(50).collect();
        let early = early.join("\n");
        let panic = format!("[    2.2] {PANIC}: Fatal exception in interrupt");
        let exited = Ended::Exited(ExitStatus::from_raw(0));
        for (ended, console, stopped) in [
            (&Ended::TimedOut, early.clone(), true),
            (&Ended::TimedOut, console.to_owned(), false),
            (&exited, format!("{early}\n{panic}\n"), true),
            (&exited, format!("{console}\n{panic}\n"), false),
            // QEMU did not start, or was killed.
            (&exited, early.clone(), false),
        ] {
            assert_eq!(stopped_before_init(ended, &console), stopped);
        }
    }

    #[test]
    fn breakpoints() {
        let oops = |code: &str| {
            format!("[    7.7] Oops: int3: 0000 [#1] SMP NOPTI\n[    7.7] RIP: 0010:f+0x3f3/0x1080\n[    7.7] Code: {code} 97\n")
        };
        assert!(has_stale_breakpoint(&oops("0f 1f 44 00 00 e9 <97> 03")));
        assert!(has_stale_breakpoint(&oops("eb 6d 0f <1f> 44")));
        // One that is there: somebody has executed it.
        assert!(!has_stale_breakpoint(&oops("0f 1f 44 00 00 cc <97> 03")));
        assert!(!has_stale_breakpoint(&oops("<97> 03")));
        let in_module = oops("e9 <97> 03").replace("0x1080", "0x1080 [kvm]");
        assert!(!has_stale_breakpoint(&in_module));
        let other = oops("e9 <97> 03").replace("int3", "0002");
        assert!(!has_stale_breakpoint(&other));
        assert!(!has_stale_breakpoint(""));
    }

    #[test]
    fn sockets_differ() {
        assert_ne!(socket(), socket());
    }
}
