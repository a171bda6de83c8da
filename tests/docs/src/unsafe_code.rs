// SPDX-License-Identifier: GPL-2.0

//! Where kernel code may be unsafe: in `rust/linux` and in folders that are called `sys`.
//!
//! The compiler's lint `unsafe_code` says nothing about tokens of another crate's macros, nor about
//! those that are passed to them: `exports!`, `callbacks!` and `global_lock!` have functions with
//! fixed names and unsafe items made of safe-looking lines. So sources are searched for the words.

use crate::tree::{self, File};
use anyhow::{anyhow, Context, Result};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::path::Path;

/// Folders of kernel code.
const FOLDERS: [&str; 4] = ["drivers", "virt", "rust", "tests/modules"];

/// Words that stand for something unsafe wherever they are.
const WORDS: [&str; 6] = [
    "unsafe",
    "no_mangle",
    "export_name",
    "link_section",
    "link_name",
    "no_core",
];

/// Macros that make something unsafe.
const MACROS: [&str; 4] = ["exports", "callbacks", "asm", "global_asm"];

/// Attributes that switch a lint off.
const ALLOWING: [&str; 3] = ["allow", "expect", "warn"];

/// The lint.
const LINT: &str = "unsafe_code";

/// What is wrong in the kernel code below `root`, one line each.
///
/// # Errors
///
/// Files that cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for folder in FOLDERS {
        for file in tree::files(root, folder, &[".rs"])? {
            wrong.extend(check_file(&file)?);
        }
    }
    Ok(wrong)
}

/// Whether a file may have unsafe code.
fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("rust/linux/") || path.split('/').any(|folder| folder == "sys")
}

/// What is wrong in one file.
///
/// # Errors
///
/// A file that cannot be read as a sequence of tokens.
pub fn check_file(file: &File) -> Result<Vec<String>> {
    if may_be_unsafe(&file.path) {
        return Ok(Vec::new());
    }
    let tokens: TokenStream = file
        .text
        .parse()
        .map_err(|e| anyhow!("{e}"))
        .with_context(|| file.path.clone())?;
    let mut found = Vec::new();
    search(tokens, &mut found);
    let wrong = |(line, what)| format!("{}:{line}: {what} outside of sys/", file.path);
    Ok(found.into_iter().map(wrong).collect())
}

/// Adds what is unsafe among `tokens`, with its line.
fn search(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(tree) = trees.get(at) {
        let rest = trees.get(at + 1..).unwrap_or_default();
        match tree {
            TokenTree::Punct(hash) if hash.as_char() == '#' && is_permitted(rest) => at += 1,
            TokenTree::Group(group) => search(group.stream(), found),
            TokenTree::Ident(name) => {
                let (name, line) = (name.to_string(), name.span().start().line);
                if WORDS.contains(&name.as_str()) {
                    found.push((line, name));
                } else if MACROS.contains(&name.as_str()) && begins_with(rest, '!') {
                    found.push((line, format!("{name}!")));
                } else if ALLOWING.contains(&name.as_str()) && names_the_lint(rest) {
                    found.push((line, format!("{name}({LINT})")));
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

fn begins_with(trees: &[TokenTree], c: char) -> bool {
    matches!(trees.first(), Some(TokenTree::Punct(punct)) if punct.as_char() == c)
}

/// Whether the first of `trees` is a list with the lint in it.
fn names_the_lint(trees: &[TokenTree]) -> bool {
    let is_lint = |tree: TokenTree| matches!(tree, TokenTree::Ident(name) if name == LINT);
    matches!(trees.first(), Some(TokenTree::Group(list)) if list.stream().into_iter().any(is_lint))
}

/// Whether this, behind `#`, is `[allow(unsafe_code)] mod sys;`.
fn is_permitted(trees: &[TokenTree]) -> bool {
    let is = |tree: Option<&TokenTree>, word: &str| matches!(tree, Some(TokenTree::Ident(name)) if name == word);
    let [TokenTree::Group(attribute), after @ ..] = trees else {
        return false;
    };
    attribute.delimiter() == Delimiter::Bracket
        && allows_the_lint(attribute)
        && is(after.first(), "mod")
        && is(after.get(1), "sys")
        && begins_with(after.get(2..).unwrap_or_default(), ';')
}

fn allows_the_lint(attribute: &Group) -> bool {
    attribute.stream().to_string().replace(' ', "") == format!("allow({LINT})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let (path, text) = (path.to_owned(), text.to_owned());
        check_file(&File { path, text }).unwrap()
    }

    const DRIVER: &str = "drivers/iommu/vtd/unit.rs";

    #[test]
    fn each_word_is_found_with_its_line() {
        let text = r#"
            linux::exports! { unsafe fn f() = g; }
            mod inner { callbacks! { } }
            #[no_mangle] extern "C" fn f() {}
            #[export_name = "f"] fn g() {}
            #[link_section = ".init"] static A: u8 = 0;
            global_lock! { unsafe(uninit) static B: Mutex<u8> = 0; }
            #![allow(dead_code, unsafe_code)]
            #[cfg_attr(feature, expect(unsafe_code))] mod other;
            core::arch::asm!("nop");
        "#;
        let expected = [
            (2, "exports!"),
            (2, "unsafe"),
            (3, "callbacks!"),
            (4, "no_mangle"),
            (5, "export_name"),
            (6, "link_section"),
            (7, "unsafe"),
            (8, "allow(unsafe_code)"),
            (9, "expect(unsafe_code)"),
            (10, "asm!"),
        ];
        let expected =
            expected.map(|(line, what)| format!("{DRIVER}:{line}: {what} outside of sys/"));
        assert_eq!(found(DRIVER, text), expected);
    }

    #[test]
    fn the_lint_is_switched_off_for_sys_alone() {
        assert!(found(DRIVER, "#[allow(unsafe_code)]\nmod sys;").is_empty());
        for text in [
            "#[allow(unsafe_code)] mod system;",
            "#[allow(unsafe_code)] mod sys { fn f() {} }",
            "#[allow(unsafe_code)] fn sys() {}",
            "#![allow(unsafe_code)] mod sys;",
        ] {
            assert_eq!(found(DRIVER, text).len(), 1, "{text}");
        }
    }

    #[test]
    fn comments_strings_and_other_names_are_no_code() {
        let text = r##"
            //! Has no unsafe code.
            #![forbid(unsafe_code)]
            mod exports;
            /// `#[no_mangle]`, exports! and unsafe.
            fn callbacks() { let _ = ("unsafe", r#"callbacks!"#); }
        "##;
        assert!(found(DRIVER, text).is_empty());
    }

    #[test]
    fn sys_and_wrappers_may_be_unsafe() {
        for path in [
            "drivers/iommu/vtd/sys/mod.rs",
            "rust/linux/mm.rs",
            "virt/kvm/sys/entry.rs",
        ] {
            assert!(found(path, "unsafe fn f() {}").is_empty(), "{path}");
        }
        for path in [
            "drivers/sysfs.rs",
            "rust/vtd/src/lib.rs",
            "tests/modules/aux_rust.rs",
        ] {
            assert_eq!(found(path, "unsafe fn f() {}").len(), 1, "{path}");
        }
    }
}
