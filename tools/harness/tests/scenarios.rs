// SPDX-License-Identifier: GPL-2.0

//! Scenario files: good ones, bad ones, and all of the repository.

use proptest::prelude::*;
use siov_harness::guest::qemu::{command_line, Boot};
use siov_harness::scenario::{load, load_folder, parse, File, Name};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn all_files() -> Vec<File> {
    [
        ("tests/kselftests", "suite"),
        ("scripts/bench.d", "scenario"),
        ("scripts/demo.d", "scenario"),
    ]
    .iter()
    .flat_map(|(folder, ending)| load_folder(&repository().join(folder), ending).unwrap())
    .collect()
}

fn error(text: &str) -> String {
    parse(Path::new("bad.suite"), text).unwrap_err().to_string()
}

#[test]
fn every_file_of_the_repository_parses() {
    let mut names = HashSet::new();
    for file in all_files() {
        assert!(
            !file.common.summary.is_empty(),
            "{} has no summary",
            file.name
        );
        for scenario in &file.scenarios {
            let name = scenario.name.to_string();
            for plugin in &scenario.guest.plugins {
                assert_eq!(plugin.library, "siov-testdev", "{name}: no such plugin");
            }
            for copy in &scenario.guest.copies {
                let path = repository().join(&copy.from);
                assert!(path.is_file(), "{name}: {}", path.display());
            }
            assert!(names.insert(name.clone()), "{name} is there twice");
        }
    }
}

#[test]
fn no_guest_of_the_repository_takes_kvm_or_all_the_time() {
    for scenario in all_files().iter().flat_map(|file| &file.scenarios) {
        let guest = &scenario.guest;
        let words = command_line(
            guest,
            &Boot {
                kernel: Path::new("/vmlinuz"),
                debug: false,
                dir: Path::new("/logs"),
                plugins: &guest.plugins,
                socket: "socket",
            },
        );
        let accel: Vec<_> = words
            .windows(2)
            .filter(|pair| pair[0] == "-accel")
            .map(|pair| pair[1].as_str())
            .collect();
        assert_eq!(accel, ["tcg"], "{}", scenario.name);
        let most = if scenario.tags.soak { 3600 } else { 900 };
        assert!(
            guest.timeout <= Duration::from_secs(most),
            "{}",
            scenario.name
        );
        assert!(!guest.shell);
    }
}

/// The table of keys in Documentation/harness.rst is complete.
#[test]
fn every_key_is_documented() {
    let text = std::fs::read_to_string(repository().join("Documentation/harness.rst")).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let everything = std::fs::read_to_string(data("everything.suite")).unwrap();
    let variants = std::fs::read_to_string(data("variants.suite")).unwrap();
    for line in everything.lines().chain(variants.lines()) {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        // smp and mem share a row.
        let shared = ["smp", "mem"].contains(&key) && text.contains("``smp, mem``");
        let named =
            shared || text.contains(&format!("``{key}``")) || text.contains(&format!("``{key} = "));
        assert!(named, "{key}");
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/scenario")
        .join(name)
}

#[test]
fn variants_add_and_replace() {
    let file = load(&data("variants.suite")).unwrap();
    let names: Vec<_> = file
        .scenarios
        .iter()
        .map(|one| one.name.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "variants:plain",
            "variants:added",
            "variants:icount",
            "variants:device"
        ]
    );
    let [plain, added, ..] = file.scenarios.as_slice() else {
        panic!("{names:?}")
    };
    assert_eq!(plain.guest.append, ["common"]);
    assert_eq!(added.guest.append, ["common", "more"]);
    assert_eq!(plain.guest.timeout, Duration::from_secs(100));
    assert_eq!(added.guest.timeout, Duration::from_secs(200));
    assert_eq!(added.guest.commands.len(), 2);
    assert_eq!(added.name.directory(), "variants.added");
}

#[test]
fn a_file_without_sections_is_one_scenario() {
    let file = parse(Path::new("dir/a.suite"), "command = t\n").unwrap();
    assert_eq!(file.scenarios.len(), 1);
    let name = Name {
        file: String::from("a"),
        variant: None,
    };
    assert_eq!(file.scenarios[0].name, name);
    assert_eq!(name.to_string(), "a");
}

#[test]
fn values_keep_their_form() {
    let text = "command=a = b\nplain   =   x  y \naim = map =0.8\n";
    let file = parse(Path::new("a.suite"), text).unwrap();
    let scenario = &file.scenarios[0];
    assert_eq!(scenario.guest.commands[0].line, "a = b");
    assert_eq!(scenario.guest.commands[1].line, "x  y ");
    assert_eq!(scenario.aims[0].prefix, "map ");
}

#[test]
fn obstacles() {
    let text = "kernels = 7.3\ntags = no-debug\ncommand = t\n";
    let file = parse(Path::new("a.suite"), text).unwrap();
    let scenario = &file.scenarios[0];
    assert_eq!(scenario.obstacle("7.3", false), None);
    assert_eq!(
        scenario.obstacle("7.2", false).as_deref(),
        Some("not for kernel 7.2")
    );
    assert_eq!(
        scenario.obstacle("7.3", true).as_deref(),
        Some("not for the debug kernel")
    );
}

#[test]
fn errors_name_file_and_line() {
    for (text, message) in [
        ("summary\n", "bad.suite:1: not 'key = value': summary"),
        (
            "\n# x\nSummary = x\n",
            "bad.suite:3: not 'key = value': Summary = x",
        ),
        (
            " summary = x\n",
            "bad.suite:1: not 'key = value':  summary = x",
        ),
        (
            "modul = x\n",
            "bad.suite:1: unknown key 'modul'; did you mean 'module'?",
        ),
        ("colour = x\n", "bad.suite:1: unknown key 'colour'"),
        ("command =\n", "bad.suite:1: 'command' has no value"),
        (
            "timeout = 1\n\ntimeout = 2\n",
            "bad.suite:3: 'timeout' stands on line 1 as well; only one counts",
        ),
        (
            "[a]\ncommand = t\n[a]\n",
            "bad.suite:3: [a] stands on line 1 as well",
        ),
        (
            "[a b]\n",
            "bad.suite:1: not '[NAME]' with a name of letters, digits, '-' and '_': [a b]",
        ),
        (
            "[]\n",
            "bad.suite:1: not '[NAME]' with a name of letters, digits, '-' and '_': []",
        ),
        (
            "[a] # b\n",
            "bad.suite:1: not '[NAME]' with a name of letters, digits, '-' and '_': [a] # b",
        ),
        ("summary = x\n", "bad.suite:1: bad has no command"),
        (
            "command = t\n[a]\n[b]\nmem = many\n",
            "bad.suite:4: mem: \"many\" is not a size such as 512M or 2G",
        ),
        (
            "mem = 1G\n[a]\ncommand = t\n[b]\n",
            "bad.suite:4: bad:b has no command",
        ),
        (
            "timeout = 0\n",
            "bad.suite:1: timeout: \"0\" is no number from 1 on",
        ),
        (
            "timeout = 1m\n",
            "bad.suite:1: timeout: \"1m\" is no number from 1 on",
        ),
        (
            "smp = 0\n",
            "bad.suite:1: smp: \"0\" is no number from 1 on",
        ),
        (
            "monitor = no\n",
            "bad.suite:1: monitor: \"no\": the only value is yes",
        ),
        (
            "icount = 1\n",
            "bad.suite:1: icount: \"1\": the only value is yes",
        ),
        (
            "kvm = rust\n",
            "bad.suite:1: kvm: \"rust\" is neither stock nor c",
        ),
        (
            "clock = sun\n",
            "bad.suite:1: clock: \"sun\" is neither icount nor wall",
        ),
        (
            "tags = slow\n",
            "bad.suite:1: tags: unknown tag \"slow\"; there are soak and no-debug",
        ),
        ("disk = 32M\n", "bad.suite:1: disk: \"32M\" is not ID=SIZE"),
        (
            "sample = mtty\n",
            "bad.suite:1: sample: \"mtty\" is not FOLDER/NAME",
        ),
        (
            "data = bios.bin\n",
            "bad.suite:1: data: \"bios.bin\" is not the absolute path of a file",
        ),
        (
            "aim = map\n",
            "bad.suite:1: aim: \"map\" is not PREFIX=RATIO",
        ),
        (
            "aim = map=fast\n",
            "bad.suite:1: aim: \"map=fast\" is not PREFIX=RATIO",
        ),
    ] {
        assert_eq!(error(text), message);
    }
    assert!(error("allow = (\n").starts_with("bad.suite:1: allow: "));
    assert_eq!(error(""), "bad.suite:1: bad has no command");
}

#[test]
fn a_file_that_is_not_there() {
    let error = load(Path::new("/no/such.suite")).unwrap_err();
    assert!(
        format!("{error:#}").starts_with("/no/such.suite: "),
        "{error:#}"
    );
    let error = load_folder(&repository().join("scripts/lib"), "suite").unwrap_err();
    assert!(
        error.to_string().contains("has no file *.suite"),
        "{error:#}"
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "([a-z=\\[\\]# ,./0-9-]{0,20}\n){0,6}") {
        let _ = parse(Path::new("a.suite"), &text);
    }

    /// A variant has the common lines and its own in their order, and no others.
    #[test]
    fn sections_are_apart(
        common in prop::collection::vec("[a-z]{1,5}", 0..4),
        variants in prop::collection::vec(prop::collection::vec("[a-z]{1,5}", 0..4), 1..4),
    ) {
        let lines = |words: &[String]| -> String {
            words.iter().flat_map(|word| ["append = ", word, "\n"]).collect()
        };
        let mut text = format!("command = t\n{}", lines(&common));
        for (index, words) in variants.iter().enumerate() {
            text.push_str(&format!("[v{index}]\n{}", lines(words)));
        }
        let file = parse(Path::new("a.suite"), &text).unwrap();
        prop_assert_eq!(&file.common.guest.append, &common);
        prop_assert_eq!(file.scenarios.len(), variants.len());
        for (scenario, words) in file.scenarios.iter().zip(&variants) {
            let expected: Vec<_> = common.iter().chain(words).cloned().collect();
            prop_assert_eq!(&scenario.guest.append, &expected);
        }
    }
}
