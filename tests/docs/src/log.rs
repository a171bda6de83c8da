// SPDX-License-Identifier: GPL-2.0

//! Log lines that documents quote, and the messages that modules print.
//!
//! A document quotes a line of the kernel log in one of two ways:
//!
//! - In a `list-table` with `:class: log`, whose title is the file name of a module. The first cell
//!   of each row is a line in double backquotes, as the log has it behind `MODULE:` or behind a
//!   device; `<words>` in angle brackets stand for what differs. The second cell says what it means
//!   and what to do. A table with `:class: log-part` lists what such words can be.
//! - In a literal block, a line that begins with `MODULE: `, or with a driver and a PCI address.
//!
//! Each must be a line that the module can print, and each warning and error of a module must be in
//! a table.

use crate::message::{self, Level, Message, Source};
use crate::pattern::{Pattern, Vocabulary};
use crate::rst::{self, literal};
use crate::tree::{self, File};
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// The modules and where their sources are.
const MODULES: [(&str, &str); 7] = [
    ("vtd", "drivers/iommu/vtd/"),
    ("iommu_aux", "drivers/iommu/aux/"),
    ("vfio_iommu_type1", "drivers/vfio/type1/"),
    ("mdev", "drivers/vfio/mdev/"),
    ("siov_testdev", "drivers/vfio/siov_testdev/"),
    ("coalesced_io_livepatch", "virt/kvm/livepatch.c"),
    ("kvm", "virt/kvm/"),
];

/// Sources that are linked into several modules.
const SHARED: &str = "rust/";

/// A module.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// Its name in the log.
    pub name: &'static str,
    /// What it prints.
    pub messages: Vec<Message>,
    vocabulary: Vocabulary,
}

/// The modules, from their sources below `root`.
///
/// # Errors
///
/// Sources that cannot be read.
pub fn modules(root: &Path) -> Result<Vec<Module>> {
    let mut sources = Vec::new();
    for folder in ["drivers", "virt", "rust"] {
        for file in tree::files(root, folder, &[".rs", ".c"])? {
            let is_test = file.path.contains("/tests/") || file.path.contains("/bindings/");
            if !is_test {
                let source = message::read(&file)?;
                sources.push((file.path, source));
            }
        }
    }
    Ok(modules_of(&sources))
}

/// The modules that are made of `sources`, which have their paths.
pub fn modules_of(sources: &[(String, Source)]) -> Vec<Module> {
    let owner = |path: &str| {
        let at = MODULES.iter().find(|(_, folder)| path.starts_with(folder));
        at.map(|(name, _)| *name)
    };
    let make = |name| {
        let own = sources.iter().filter(|(path, _)| owner(path) == Some(name));
        let shared = sources.iter().filter(|(path, _)| path.starts_with(SHARED));
        let strings = own
            .clone()
            .chain(shared)
            .flat_map(|(_, source)| &source.strings);
        Module {
            name,
            vocabulary: Vocabulary::new(strings.map(String::as_str)),
            messages: own
                .flat_map(|(_, source)| source.messages.clone())
                .collect(),
        }
    };
    MODULES.iter().map(|(name, _)| make(*name)).collect()
}

impl Module {
    /// The format string that prints `line`; that with the most text of its own if several can. Of
    /// messages about a device, or of the others, if `of_device` says so.
    fn prints(&self, line: &str, of_device: Option<bool>) -> Option<&str> {
        let fits = |message: &Message| {
            of_device.is_none_or(|of_device| message.of_device == of_device)
                && self.vocabulary.prints(&message.pattern, line)
        };
        let fitting = self.messages.iter().filter(|m| fits(m));
        let best = fitting.max_by_key(|m| m.pattern.text_len())?;
        Some(&best.format)
    }
}

/// What is wrong with the quotes in `documents`, one line each.
pub fn check(documents: &[File], modules: &[Module]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut explained = BTreeSet::new();
    for document in documents {
        for table in rst::list_tables(document) {
            let is_part = table.class == "log-part";
            if table.class != "log" && !is_part {
                continue;
            }
            let place = |line| format!("{}:{line}", document.path);
            let name = table.title.trim_end_matches(".ko");
            let Some(module) = modules.iter().find(|m| m.name == name) else {
                wrong.push(format!("{}: no module {}", place(table.line), table.title));
                continue;
            };
            for row in &table.rows {
                let place = place(row.line);
                let Some(line) = row.cells.first().and_then(|cell| literal(cell)) else {
                    wrong.push(format!("{place}: the first cell is not one literal"));
                    continue;
                };
                if row.cells.get(1).is_none_or(|cell| cell.trim().is_empty()) {
                    wrong.push(format!("{place}: \"{line}\" is not explained"));
                }
                if is_part {
                    // A hole that is filled by more than a value.
                    if line.contains(' ') && !module.vocabulary.prints(&Pattern::rust("{}"), line) {
                        wrong.push(format!("{place}: {name} has no string \"{line}\""));
                    }
                } else if let Some(format) = module.prints(line, None) {
                    explained.insert((module.name, format));
                } else {
                    wrong.push(format!("{place}: {name} prints no line \"{line}\""));
                }
            }
        }
        for (number, line) in rst::indented(document) {
            wrong.extend(
                check_sample(line, modules).map(|w| format!("{}:{number}: {w}", document.path)),
            );
        }
    }
    for module in modules {
        for message in &module.messages {
            let is_explained = explained.contains(&(module.name, message.format.as_str()));
            if message.level > Level::Info && !is_explained {
                wrong.push(format!(
                    "{}:{}: no table explains {}'s {:?}",
                    message.path, message.line, module.name, message.format
                ));
            }
        }
    }
    wrong
}

/// What is wrong with a line of a literal block, if it is of the log.
fn check_sample(line: &str, modules: &[Module]) -> Option<String> {
    for module in modules {
        let Some(message) = line
            .strip_prefix(module.name)
            .and_then(|l| l.strip_prefix(": "))
        else {
            continue;
        };
        let is_printed = module.prints(message, Some(false)).is_some();
        return (!is_printed).then(|| format!("{} prints no line \"{message}\"", module.name));
    }
    let (driver, rest) = line.split_once(' ')?;
    let (address, message) = rest.split_once(": ")?;
    let is_driver = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if driver.is_empty() || !driver.chars().all(is_driver) || !is_pci_address(address) {
        return None;
    }
    let is_printed = modules
        .iter()
        .any(|m| m.prints(message, Some(true)).is_some());
    (!is_printed).then(|| format!("no module prints \"{message}\" of a device"))
}

/// Whether this is an address as `0000:00:04.0`.
fn is_pci_address(text: &str) -> bool {
    let form = "0000:00:00.0";
    text.len() == form.len()
        && Iterator::zip(text.chars(), form.chars()).all(|(c, form)| {
            if form == '0' {
                c.is_ascii_hexdigit()
            } else {
                c == form
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        fn f() {
            pr_err!("{}: {}\n", name, failure);
            pr_err!("{}: disabling failed: {}\n", name, failure);
            dev_warn!(dev, "depends on {}: unbind its driver\n", name);
            pr_info!("{} units{}\n", 1, extra);
            let extra = ", late";
            let failure = "the queue is stalled";
        }
    "#;

    const TABLE: &str = "\
.. list-table:: ``vtd.ko``
   :class: log

   * - ``<unit>: <failure>``
     - see below
   * - ``<unit>: disabling failed: <failure>``
     - reboot
   * - ``depends on <unit>: unbind its driver``
     - do so

.. list-table:: ``vtd.ko``
   :class: log-part

   * - ``the queue is stalled``
     - reboot

Sample::

   vtd: 2 units, late
   nvme 0000:00:01.0: depends on dmar0: unbind its driver
";

    fn problems(source: &str, table: &str) -> Vec<String> {
        let file = File {
            path: "drivers/iommu/vtd/vtd.rs".into(),
            text: source.into(),
        };
        let source = message::read(&file).expect("it is read");
        let document = File {
            path: "a.rst".into(),
            text: table.into(),
        };
        check(&[document], &modules_of(&[(file.path, source)]))
    }

    #[test]
    fn all_is_well() {
        assert_eq!(problems(SOURCE, TABLE), [""; 0]);
    }

    #[test]
    fn each_change_of_a_document_is_noticed() {
        for (was, is) in [
            (
                "<unit>: disabling failed: <failure>",
                "<unit>: disable failed: <failure>",
            ),
            ("depends on <unit>", "depends on"),
            ("``the queue is stalled``", "``the queue is broken``"),
            ("vtd: 2 units, late", "vtd: 2 units, early"),
            ("vtd: 2 units, late", "vtd: two units, late"),
            (
                "nvme 0000:00:01.0: depends on",
                "nvme 0000:00:01.0: depend on",
            ),
            // What is about a device is not printed without one.
            (
                "vtd: 2 units, late",
                "vtd: depends on dmar0: unbind its driver",
            ),
            (
                "     - reboot\n   * - ``depends",
                "     -\n   * - ``depends",
            ),
            (
                "``vtd.ko``\n   :class: log\n",
                "``vdt.ko``\n   :class: log\n",
            ),
        ] {
            let changed = TABLE.replacen(was, is, 1);
            assert_ne!(changed, TABLE, "{was}");
            assert_ne!(problems(SOURCE, &changed), [""; 0], "{was} -> {is}");
        }
    }

    #[test]
    fn each_message_needs_a_row_of_its_own() {
        for row in [
            "   * - ``<unit>: <failure>``\n     - see below\n",
            "   * - ``<unit>: disabling failed: <failure>``\n     - reboot\n",
            "   * - ``depends on <unit>: unbind its driver``\n     - do so\n",
        ] {
            let without = TABLE.replacen(row, "", 1);
            assert_ne!(without, TABLE, "{row}");
            let [problem] = &problems(SOURCE, &without)[..] else {
                panic!("{row}");
            };
            assert!(problem.contains("no table explains"), "{problem}");
        }
    }

    #[test]
    fn a_change_of_the_source_is_noticed() {
        let changed = SOURCE.replace("disabling failed", "not disabled");
        assert_eq!(problems(&changed, TABLE).len(), 2);
    }
}
