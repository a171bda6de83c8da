// SPDX-License-Identifier: GPL-2.0

//! The program itself, from its command line to its exit code, with a shell that only pretends to
//! build and to boot guests: tests/data/fake/step.

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A checkout with the pretending shell, and a cache.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("siov-run-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        for folder in [
            "src/scripts/lib",
            "src/scripts/bench.d",
            "src/scripts/demo.d",
            "src/tests/kselftests",
            "cache/locks",
            "build",
        ] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fake/step");
        fs::copy(fake, dir.join("src/scripts/lib/step")).unwrap();
        Place(dir)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.0.join("src").join(name), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siov"));
        let path = |name: &str| self.0.join(name);
        command
            .args(words)
            .env("SIOV_SRC", path("src"))
            .env("SIOV_CACHE", path("cache"))
            .env("SIOV_BUILD", path("build"))
            .env("SIOV_TREE", path("tree"))
            .env("SIOV_KERNEL", "7.3")
            .env("SIOV_KERNELS", "7.3 7.2")
            .env("SIOV_DEBUG", "")
            .env("SIOV_KREL", "7.3.4")
            .env("SIOV_MODDIR", "/lib/modules/7.3.4")
            .env("SIOV_VMLINUZ", "/vmlinuz")
            .env("SIOV_CC", "gcc")
            .env("SIOV_TOOLS", "CC=gcc")
            .env("CI", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.ended(self.command(words).output().unwrap())
    }

    fn run_failing(&self, step: &str, words: &[&str]) -> Ended {
        self.ended(self.command(words).env("FAIL", step).output().unwrap())
    }

    fn ended(&self, output: Output) -> Ended {
        let text = |bytes: &[u8]| self.plain(&String::from_utf8_lossy(bytes));
        Ended {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.0.display().to_string(), "DIR");
        let time = regex_lite::Regex::new(r"\[ *[0-9]+ s\]|  +[0-9]+ s ").unwrap();
        let text = time.replace_all(&text, |found: &regex_lite::Captures<'_>| {
            if found[0].starts_with('[') {
                String::from("[  N s]")
            } else {
                String::from(" N s ")
            }
        });
        let logs = regex_lite::Regex::new(r"-20[0-9]{6}-[0-9]{6}-[0-9]+").unwrap();
        logs.replace_all(&text, "-DATE").into_owned()
    }

    fn logs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join("cache/logs")) else {
            return Vec::new();
        };
        entries
            .map(|entry| self.plain(&entry.unwrap().file_name().to_string_lossy()))
            .collect()
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn last_line(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }

    /// What stands behind the table's head.
    fn table(&self) -> Vec<&str> {
        self.out
            .lines()
            .skip_while(|line| !line.starts_with("kernel 7.3.4 "))
            .skip(1)
            .take_while(|line| !line.is_empty())
            .collect()
    }

    fn row(&self, name: &str) -> Vec<&str> {
        let start = format!("{name} ");
        let row = self.table().into_iter().find(|row| row.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row {name} in\n{}", self.out));
        row.rsplit(' ')
            .filter(|word| !word.is_empty())
            .take(3)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect()
    }
}

/// Every way in which a guest may end.
const ENDS: &str = "\
summary = ends of guests
command = t
timeout = 2
[good]
append = good
[fails]
append = fails
[hangs]
append = hangs
[deaf]
append = deaf
[early]
append = early
[panics]
append = panics
[refused]
append = refused
[warns]
append = warns
[lacks]
append = lacks
[skipped]
optional = no-such-program
append = good
[elsewhere]
kernels = 7.2
append = good
[incomplete]
copy = no/such/file
append = good
";

#[test]
fn a_suite_that_passes() {
    let place = Place::new("passes");
    place.file("tests/kselftests/ends.suite", ENDS);
    let ended = place.run(&["test", "ends:good"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.last_line(), "5 passed, 0 failed, 1 skipped");
    assert_eq!(ended.row("modules without warnings"), ["1", "0", "0"]);
    assert_eq!(ended.row("ends:good"), ["1", "0", "1"]);
    assert_eq!(ended.table().len(), 5);
    let skip = "           ends:good: skipped b: no device\n";
    assert!(ended.out.contains(skip), "{ended:?}");
    assert_eq!(place.logs(), Vec::<String>::new());
}

#[test]
fn every_way_in_which_a_guest_ends() {
    let place = Place::new("ends");
    place.file("tests/kselftests/ends.suite", ENDS);
    let ended = place.run(&["test", "--jobs", "6", "ends"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for (name, totals, line) in [
        ("good", ["1", "0", "1"], "suite ends:good: 1 passed, 1 skipped"),
        ("fails", ["1", "1", "0"], "not ok b\n    # want 1, got 2\n"),
        // One result is missing, too.
        ("hangs", ["1", "2", "0"], "the guest did not finish in time, during: t\n"),
        ("deaf", ["0", "2", "0"], "FAILED: suite ends:deaf: 0 passed, 2 failed, 0 skipped\n"),
        ("early", ["1", "0", "1"], "suite ends:early: 1 passed, 1 skipped\n"),
        ("panics", ["0", "3", "0"], "the guest's kernel panicked, during: t\n"),
        ("refused", ["0", "1", "0"], "QEMU ended before the guest was through\nqemu: -device nosuch: not a valid device\n"),
        ("warns", ["1", "1", "0"], "console line 2 (WARNING): WARNING: CPU: 0 PID: 1 at"),
        ("lacks", ["0", "1", "0"], "module did not load: vtd: modprobe: no such module\n"),
        ("skipped", ["0", "0", "1"], "suite ends:skipped: skipped, no no-such-program in the root\n"),
        ("elsewhere", ["0", "0", "1"], "suite ends:elsewhere: skipped, not for kernel 7.3\n"),
        ("incomplete", ["0", "1", "0"], "---- suite ends:incomplete did not run:\nDIR/src/no/such/file: cannot be copied: No such file"),
    ] {
        assert_eq!(ended.row(&format!("ends:{name}")), totals, "{name}: {}", ended.out);
        assert!(ended.out.contains(line), "{name}: {}", ended.out);
    }
    // The four builds pass, too.
    assert_eq!(ended.last_line(), "9 passed, 12 failed, 4 skipped");
    // What failed keeps its logs.
    assert_eq!(place.logs().len(), 2, "{:?}", place.logs());
    let kept = "---- its logs: DIR/cache/logs/test-guests-DATE/ends.fails\n";
    assert!(ended.out.contains(kept), "{}", ended.out);
}

#[test]
fn logs_that_are_asked_for_stay() {
    let place = Place::new("logs");
    place.file("tests/kselftests/ends.suite", ENDS);
    let logs = place.0.join("my-logs");
    let ended = place.run(&["test", "--log", &logs.display().to_string(), "ends:good"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let read = |name: &str| fs::read_to_string(logs.join("ends.good").join(name)).unwrap();
    assert_eq!(read("end"), "finished 0\n");
    assert_eq!(read("verdict"), "skipped b: no device\ntotals 1 0 1\n");
    assert!(read("command").starts_with("qemu-system-x86_64 -nodefaults "));
    assert!(read("console.log").contains("/init"));
    assert!(!logs.join("ends.good/initramfs").exists());
}

#[test]
fn a_build_that_fails() {
    let place = Place::new("build");
    place.file("tests/kselftests/ends.suite", ENDS);
    let ended = place.run_failing("modules", &["test", "ends:good", "ends:fails"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.last_line(), "3 passed, 3 failed, 0 skipped");
    assert_eq!(ended.row("modules without warnings"), ["0", "1", "0"]);
    assert_eq!(ended.row("ends:good"), ["0", "1", "0"]);
    assert!(
        ended.err.contains("error: modules does not compile\n"),
        "{ended:?}"
    );
    assert!(
        ended
            .err
            .contains("---- full log: DIR/cache/logs/test-DATE/"),
        "{ended:?}"
    );
}

#[test]
fn host_checks_and_micro_bench() {
    let place = Place::new("host");
    place.file("tests/kselftests/ends.suite", ENDS);
    let ended = place.run(&["test", "host", "micro-bench"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.row("cargo test 1.85.1"), ["3", "0", "1"]);
    assert_eq!(ended.row("cargo test 1.95.0"), ["3", "0", "1"]);
    assert_eq!(ended.row("shellcheck"), ["1", "0", "0"]);
    assert_eq!(ended.row("micro-bench"), ["2", "0", "0"]);
    assert_eq!(ended.row("scripts"), ["2", "0", "1"]);

    let ended = place.run_failing("shellcheck payloads", &["test", "host", "micro-bench"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.row("shellcheck"), ["0", "1", "0"]);
    assert_eq!(ended.row("micro-bench"), ["0", "1", "0"]);
    // It needs the payloads, whose failure counts already.
    assert!(
        !ended.out.contains("clippy of bare-metal code"),
        "{ended:?}"
    );
}

#[test]
fn a_malformed_suite_stops_everything() {
    let place = Place::new("malformed");
    place.file("tests/kselftests/ends.suite", ENDS);
    place.file("tests/kselftests/other.suite", "command = t\nmodul = vtd\n");
    let ended = place.run(&["test", "ends:good"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert_eq!(
        ended.err,
        "test: DIR/src/tests/kselftests/other.suite:2: unknown key 'modul'; did you mean 'module'?\n"
    );
}

#[test]
fn usage() {
    let place = Place::new("usage");
    place.file("tests/kselftests/ends.suite", ENDS);
    for words in [
        &["test", "--no-such-option"][..],
        &["test", "--jobs", "0"],
        &["test", "nothing"],
        &["test", "ends", "nothing"],
        &["vm"],
        &["vm", "--mem", "much", "--", "true"],
        &["no-such-command"],
    ] {
        let ended = place.run(words);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{words:?}");
        assert!(!ended.err.is_empty(), "{words:?}");
    }
    let help = place.run(&["test", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(
        help.out
            .starts_with("Usage: scripts/test [--kernel 7.3|7.2]"),
        "{help:?}"
    );
    let list = place.run(&["test", "--list", "ends:[a-f]*"]);
    assert_eq!(list.code, Some(0));
    assert_eq!(list.out.lines().count(), 4, "{list:?}");
}

#[test]
fn exit_codes_of_a_guest_from_the_command_line() {
    let place = Place::new("vm");
    for (how, code, line) in [
        ("good", 0, "guest finished, status 0"),
        ("fails", 1, "guest finished, status 1"),
        ("hangs", 8, "guest did not finish within 2 s"),
        ("panics", 9, "guest panicked"),
        (
            "refused",
            10,
            "guest ended without finishing (QEMU's status: 1)",
        ),
    ] {
        let ended = place.run(&["vm", "--append", how, "--timeout", "2", "--", "t"]);
        assert_eq!(ended.code, Some(code), "{how}: {ended:?}");
        assert!(
            ended.out.contains(&format!("  [  N s] {line}\n")),
            "{how}: {ended:?}"
        );
    }
    let ended = place.run(&["vm", "--append", "plain", "--no-build", "--", "t"]);
    let expected = "---- guest\nhello\n----\n  [  N s] guest finished, status 0\n";
    assert_eq!(ended.out, expected);
    let failing = place.run_failing("plugins", &["vm", "--append", "good", "--", "t"]);
    assert_eq!(failing.code, Some(1), "{failing:?}");
    assert!(!failing.out.contains("---- guest"), "{failing:?}");
}

#[test]
fn demonstrations_show_what_guests_print() {
    let place = Place::new("demo");
    place.file(
        "scripts/demo.d/one.scenario",
        "summary = the job\nplain = t\nappend = plain\n",
    );
    place.file(
        "scripts/demo.d/two.scenario",
        "summary = bad\nplain = t\nappend = warns\n",
    );
    let ended = place.run(&["demo", "one"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown = "\n==== the job\n\nhello\n\n  [  N s] demo one\n";
    assert!(ended.out.ends_with(shown), "{ended:?}");
    assert_eq!(place.logs(), Vec::<String>::new());

    let ended = place.run(&["demo"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .out
            .contains("  [  N s] FAILED: demo two\nconsole line 2 (WARNING)"),
        "{ended:?}"
    );
    assert!(
        ended
            .out
            .ends_with("           logs: DIR/cache/logs/demo-guests-DATE\n"),
        "{ended:?}"
    );
}

#[test]
fn figures_stand_side_by_side() {
    let place = Place::new("bench");
    let text = "summary = a comparison\nplain = t\nappend = figures\naim = map=0.5\n[C]\n[Rust]\n";
    place.file("scripts/bench.d/one.scenario", text);
    place.file(
        "scripts/bench.d/two.scenario",
        "summary = none\nplain = t\nappend = plain\n",
    );
    let ended = place.run(&["bench", "one"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown = "\
  [  N s] bench one

a comparison

operation  unit             C          Rust   ratio     aim
map        insn            10            10    1.00    0.50  above

";
    assert!(ended.out.ends_with(shown), "{ended:?}");

    let ended = place.run(&["bench"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .out
            .contains("\nnone\n\nthere is no figure in any of the logs\n"),
        "{ended:?}"
    );
}

#[test]
fn a_run_that_ends_takes_its_guests_along() {
    let place = Place::new("interrupt");
    let suite = ENDS.replace("timeout = 2", "timeout = 600");
    place.file("tests/kselftests/ends.suite", &suite);
    let interrupted = "\ntest: interrupted; the next run begins the unfinished step anew\n";
    for (signal, code, err) in [
        (Signal::SIGTERM, Some(143), interrupted),
        (Signal::SIGINT, Some(130), interrupted),
        (Signal::SIGKILL, None, ""),
    ] {
        let command = place.command(&["test", "ends:hangs"]);
        // What started this test may ignore them.
        let mut with_signals = Command::new("env");
        with_signals.arg("--default-signal=INT,TERM,HUP");
        with_signals
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            with_signals.env(name, value.unwrap_or_default());
        }
        let child = with_signals
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let guest = place.wait_for_guest();
        let pid = i32::try_from(child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        let ended = place.ended(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (code, err), "{ended:?}");
        assert!(!ended.out.contains("ends:hangs"), "{ended:?}");
        wait_for(|| !is_alive(&guest));
        fs::remove_dir_all(place.0.join("cache/logs")).unwrap();
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Place {
    /// Waits for a guest that hangs, and returns its process.
    fn wait_for_guest(&self) -> String {
        let pid = || {
            let mut logs = fs::read_dir(self.0.join("cache/logs")).ok()?;
            let pid = logs.find_map(|entry| {
                let path = entry.ok()?.path().join("ends.hangs/pid");
                fs::read_to_string(path).ok()
            });
            pid.filter(|pid| pid.ends_with('\n'))
        };
        wait_for(|| pid().is_some());
        pid().unwrap().trim().to_owned()
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
