// SPDX-License-Identifier: GPL-2.0

//! The checks of this crate, on the repository.

use anyhow::Result;
use siov_docs_test::{example, links, log, tree, unsafe_code};

#[test]
fn quoted_log_lines_are_printed_and_errors_explained() -> Result<()> {
    let root = tree::root();
    let wrong = log::check(&tree::documents(&root)?, &log::modules(&root)?);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn links_and_paths_lead_somewhere() -> Result<()> {
    let root = tree::root();
    let wrong = links::check(&tree::documents(&root)?, &root);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn worked_examples_fit_the_tree() -> Result<()> {
    let root = tree::root();
    let examples = tree::files(&root, "Documentation/examples", &[".diff"])?;
    assert!(!examples.is_empty());
    let misfits = examples
        .iter()
        .filter_map(|patch| example::check(patch, &root).err());
    let wrong: Vec<String> = misfits.map(|error| format!("{error:#}")).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn kernel_code_is_unsafe_in_sys_only() -> Result<()> {
    let wrong = unsafe_code::check(&tree::root())?;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}
