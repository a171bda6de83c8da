// SPDX-License-Identifier: GPL-2.0

//! Links and paths in documents.

use crate::tree::File;
use std::collections::BTreeSet;
use std::path::Path;

/// Folders of the repository at its top level. A word that begins with one of them is a path.
const TOP: [&str; 8] = [
    "Documentation/",
    "drivers/",
    "include/",
    "rust/",
    "scripts/",
    "tests/",
    "tools/",
    "virt/",
];

/// Files of the kernel whose path begins in the same way.
const OF_THE_KERNEL: [&str; 10] = [
    "Documentation/ABI/testing/sysfs-bus-vfio-mdev",
    "Documentation/livepatch/module-elf-format.rst",
    "Documentation/rust/",
    "Documentation/virt/kvm/api.rst",
    "drivers/iommu/generic_pt/",
    "drivers/iommu/intel/",
    "include/uapi/",
    "rust/kernel",
    "scripts/sign-file",
    "virt/kvm/coalesced_mmio.c",
];

/// What is wrong with the links of `documents`, one line each. `root` is where the repository is.
pub fn check(documents: &[File], root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for document in documents {
        for (number, line) in document.lines() {
            let bad = bad_links(document, line, documents, root);
            wrong.extend(bad.map(|what| format!("{}:{number}: {what}", document.path)));
        }
    }
    wrong
}

fn bad_links<'a>(
    document: &'a File,
    line: &'a str,
    documents: &'a [File],
    root: &'a Path,
) -> impl Iterator<Item = String> + 'a {
    let is_markdown = document.path.ends_with(".md");
    let links = markdown_links(line).filter(move |_| is_markdown);
    let bad_links = links.filter(move |link| !leads_somewhere(document, link, documents, root));
    let docs = roles(line, ":doc:").filter(move |_| !is_markdown);
    let bad_docs = docs.filter(move |doc| !is_document(document, doc, root));
    let paths = parts_without_roles(line).flat_map(paths);
    let bad_paths =
        paths.filter(move |path| !root.join(path).exists() && !is_document(document, path, root));
    Iterator::chain(
        bad_links.map(|link| format!("the link to {link} leads nowhere")),
        bad_docs.map(|doc| format!("there is no document {doc}")),
    )
    .chain(bad_paths.map(|path| format!("there is no {path}")))
}

/// Whether `name` is a document, from the folder of `document`, or with a `/` from that of all.
fn is_document(document: &File, name: &str, root: &Path) -> bool {
    let folder = match name.strip_prefix('/') {
        Some(_) => "Documentation",
        None => folder(document),
    };
    let name = name.trim_start_matches('/');
    root.join(folder).join(format!("{name}.rst")).is_file()
}

fn folder(document: &File) -> &str {
    document
        .path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder)
}

/// The targets of links `[text](target)`.
fn markdown_links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// Whether a link of Markdown leads to a file, and to a heading in it.
fn leads_somewhere(document: &File, link: &str, documents: &[File], root: &Path) -> bool {
    if link.contains("://") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        document.path.clone()
    } else {
        let folder = folder(document);
        if folder.is_empty() {
            path.to_owned()
        } else {
            format!("{folder}/{path}")
        }
    };
    if target != document.path && !root.join(&target).exists() {
        return false;
    }
    anchor.is_empty()
        || documents
            .iter()
            .any(|d| d.path == target && headings(d).contains(anchor))
}

/// The anchors of a document's headings, as web sites that show repositories form them.
fn headings(document: &File) -> BTreeSet<String> {
    let lines: Vec<&str> = document.text.lines().collect();
    let is_rule = |line: &str| line.len() > 2 && line.chars().all(|c| "=-~^".contains(c));
    let mut anchors = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let is_underlined = lines.get(at + 1).is_some_and(|next| is_rule(next));
        if line.starts_with('#') || (is_underlined && !is_rule(line)) {
            anchors.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| {
        if c == ' ' {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    })
    .collect()
}

/// The targets of a role, with or without a text.
fn roles<'a>(line: &'a str, role: &'a str) -> impl Iterator<Item = &'a str> {
    line.split(role).skip(1).filter_map(|rest| {
        let inner = rest.strip_prefix('`')?.split_once('`')?.0;
        let target = inner.split_once('<').map_or(inner, |(_, target)| target);
        Some(target.trim_end_matches('>'))
    })
}

/// What is left of a line without the targets of `:doc:`.
fn parts_without_roles(line: &str) -> impl Iterator<Item = &str> {
    line.split(":doc:`").enumerate().map(|(at, part)| {
        let target_ends = if at == 0 { None } else { part.split_once('`') };
        target_ends.map_or(part, |(_, rest)| rest)
    })
}

/// Words that are paths of the repository, without those that stand for several, and those that are
/// marked as the kernel's (`kernel:PATH`).
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./*<>:".contains(c);
    line.split(move |c| !is_path(c)).filter_map(|word| {
        let path = word.trim_end_matches(['.', ':']);
        let is_ours = TOP.iter().any(|top| path.starts_with(top));
        let is_the_kernels = OF_THE_KERNEL.iter().any(|kernel| path.starts_with(kernel));
        let stands_for_several =
            path.contains(['*', '<', '>']) || path.contains("..") || has_placeholder(path);
        (is_ours && !is_the_kernels && !stands_for_several).then_some(path)
    })
}

/// Whether a part of the path is a word in capitals, such as `NAME.suite`.
fn has_placeholder(path: &str) -> bool {
    path.split(['/', '.']).any(|part| {
        let is_known = [
            "README",
            "COPYING",
            "ABI",
            "Cargo",
            "Kbuild",
            "Documentation",
        ]
        .contains(&part);
        !is_known && part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            text: text.into(),
        }
    }

    fn problems(path: &str, text: &str) -> Vec<String> {
        let root = crate::tree::root();
        let readme = document("README.md", "# One house\n\n## Two commands: `a`\n");
        check(&[document(path, text), readme], &root)
    }

    #[test]
    fn good_links() {
        for (path, text) in [
            (
                "A.md",
                "see [the licence](COPYING), [the web](https://example.org)",
            ),
            ("A.md", "see [two](README.md#two-commands-a)"),
            ("A.md", "## Here\nsee [here](#here)"),
            (
                "Documentation/a.rst",
                "see :doc:`operators` and :doc:`coalesced I/O <virt/kvm/coalesced-io>`",
            ),
            (
                "Documentation/a.rst",
                "``drivers/iommu/vtd/root.rs`` and scripts/test.",
            ),
            (
                "Documentation/a.rst",
                "``tests/kselftests/NAME.suite``, ``rust/linux/*.rs``, ``tools/<name>``",
            ),
            (
                "Documentation/a.rst",
                "the kernel's ``Documentation/virt/kvm/api.rst``",
            ),
            ("Documentation/a.rst", "https://example.org/drivers"),
            ("Documentation/a.rst", "kernel:include/linux/iommu.h"),
        ] {
            assert_eq!(problems(path, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn bad_links() {
        for (path, text) in [
            ("A.md", "see [the licence](COPYNG)"),
            ("A.md", "see [two](README.md#three-commands)"),
            ("A.md", "## Here\nsee [there](#there)"),
            ("Documentation/a.rst", "see :doc:`operator`"),
            ("Documentation/virt/a.rst", "see :doc:`operators`"),
            (
                "Documentation/a.rst",
                "see :doc:`coalesced I/O <kvm/coalesced-io>`",
            ),
            ("Documentation/a.rst", "``drivers/iommu/vtd/roots.rs``"),
            ("Documentation/a.rst", "  rust/linux/vfio_iommu  Space"),
        ] {
            assert_eq!(problems(path, text).len(), 1, "{text}");
        }
    }
}
