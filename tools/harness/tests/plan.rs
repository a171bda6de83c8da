// SPDX-License-Identifier: GPL-2.0

//! What is made of a scenario: the guest, and QEMU's command line. The text files of
//! tests/snapshots hold what is expected; with SIOV_UPDATE_SNAPSHOTS set they are written anew, to
//! be read as a diff.

use siov_harness::guest::qemu::{command_line, Boot};
use siov_harness::guest::value::Plugin;
use siov_harness::scenario::{load, Scenario};
use siov_harness::suite;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn check(name: &str, text: &str) {
    let path = tests().join("snapshots").join(name);
    let text = format!("# SPDX-License-Identifier: GPL-2.0\n{text}");
    if std::env::var_os("SIOV_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs; SIOV_UPDATE_SNAPSHOTS=1 writes it anew. Now it is:\n{text}",
        path.display()
    );
}

fn line(text: &mut String, key: &str, values: impl IntoIterator<Item = impl std::fmt::Display>) {
    for value in values {
        writeln!(text, "{key}: {value}").unwrap();
    }
}

/// One scenario on the shipped kernel or on the debug kernel.
fn plan(scenario: &Scenario, debug: bool) -> String {
    let guest = suite::guest(scenario, Path::new("/src"), debug);
    let mut text = format!("==== {}\n", scenario.name);
    line(&mut text, "summary", [&scenario.summary]);
    line(&mut text, "tags", [&scenario.tags]);
    line(&mut text, "kernels", &scenario.kernels);
    line(&mut text, "allow", &scenario.allow);
    line(&mut text, "optional", &scenario.optional);
    let aims = scenario.aims.iter();
    line(
        &mut text,
        "aim",
        aims.map(|aim| format!("{:?} at most {}", aim.prefix, aim.ratio)),
    );
    line(&mut text, "column", &scenario.columns);
    line(&mut text, "clock", [format!("{:?}", scenario.clock)]);
    line(&mut text, "load", &guest.modules);
    line(
        &mut text,
        "have",
        guest.have.iter().map(|module| module.name()),
    );
    line(&mut text, "sample", &guest.samples);
    line(&mut text, "kselftest", &guest.kselftests);
    line(&mut text, "payload", &guest.payloads);
    line(&mut text, "program", &guest.programs);
    line(&mut text, "data", &guest.data);
    let copies = guest.copies.iter();
    line(
        &mut text,
        "copy",
        copies.map(|copy| format!("{} to {}", copy.from.display(), copy.to)),
    );
    line(&mut text, "kernel image", &guest.kernel_image);
    line(&mut text, "kvm.ko", guest.kvm.iter().map(|kvm| kvm.word()));
    line(&mut text, "acpi", &guest.acpi);
    let commands = guest.commands.iter();
    line(
        &mut text,
        "run",
        commands.map(|command| format!("{} {}", command.kind.word(), command.line)),
    );
    line(&mut text, "seconds", [guest.timeout.as_secs()]);
    let plugins: Vec<Plugin> = guest
        .plugins
        .iter()
        .map(|plugin| Plugin {
            library: format!("/build/{}.so", plugin.library),
            arguments: plugin.arguments.clone(),
        })
        .collect();
    let words = command_line(
        &guest,
        &Boot {
            kernel: Path::new("/vmlinuz"),
            debug,
            dir: Path::new("/logs"),
            plugins: &plugins,
            socket: "siov-socket",
        },
    );
    for word in words {
        let indent = if word.starts_with('-') {
            "    "
        } else {
            "      "
        };
        writeln!(text, "{indent}{word}").unwrap();
    }
    text
}

fn plans(file: &str, debug: bool) -> String {
    let file = load(&tests().join("data/scenario").join(file)).unwrap();
    let plans: Vec<_> = file.scenarios.iter().map(|one| plan(one, debug)).collect();
    plans.join("\n")
}

#[test]
fn every_key() {
    check("everything.txt", &plans("everything.suite", false));
}

#[test]
fn the_debug_kernel() {
    check("everything-debug.txt", &plans("everything.suite", true));
}

#[test]
fn variants() {
    check("variants.txt", &plans("variants.suite", false));
}
