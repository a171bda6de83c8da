// SPDX-License-Identifier: GPL-2.0

//! Compiling the programs of a case.

use crate::case::{Against, Case};
use crate::command::Rustc;
use crate::diagnostics::{judge, Outcome, Verdict};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The module of ours whose command line is that of cases which are crates of their own.
const MODEL: &str = "tests/modules/aux_rust.rs";

/// Where everything is.
#[derive(Debug)]
pub struct Places {
    /// The checkout.
    pub source: PathBuf,
    /// Kbuild's output for it.
    pub build: PathBuf,
    /// A directory for what is compiled.
    pub scratch: PathBuf,
}

/// A verdict, and what the compiler has printed.
#[derive(Debug)]
pub struct Judged {
    /// What came of the case.
    pub verdict: Verdict,
    /// What the compiler printed for the program that the verdict is about.
    pub text: String,
}

/// Compiles both programs of a case and judges them.
///
/// # Errors
///
/// When the compiler cannot be run.
pub fn check(places: &Places, case: &Case) -> Result<Judged> {
    let rustc = match &case.against {
        Against::Crates(crates) => Rustc::of(&places.build, Path::new(MODEL))?.with_crates(crates),
        Against::Driver(root) => Rustc::of(&places.build, root)?,
    };
    let compile = |program: &str, kind: &str| -> Result<Outcome> {
        let dir = places.scratch.join(&case.name).join(kind);
        let out = dir.join("out");
        fs::create_dir_all(&out)?;
        let root = match &case.against {
            Against::Crates(_) => lay_out(&dir, program)?,
            Against::Driver(root) => lay_out_in_driver(&dir, &places.source.join(root), program)?,
        };
        let output = rustc
            .command(&places.build, &root, &out)
            .output()
            .context("rustc does not run")?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Outcome::new(output.status.success(), text))
    };
    let misuse = compile(&case.misuse, "misuse")?;
    let twin = case
        .twin
        .as_deref()
        .map(|twin| compile(twin, "twin"))
        .transpose()?;
    let verdict = judge(&case.errors, &misuse, twin.as_ref());
    let text = match (&verdict, twin) {
        (Verdict::TwinRefused, Some(twin)) => twin.text,
        _ => misuse.text,
    };
    Ok(Judged { verdict, text })
}

/// Writes a program that is a crate of its own. Returns its root.
fn lay_out(dir: &Path, program: &str) -> Result<PathBuf> {
    let root = dir.join("misuse.rs");
    fs::write(&root, program)?;
    Ok(root)
}

/// Makes a copy of the crate with the root `driver` that has the program as one more module,
/// `misuse`: `crate::` in it is the driver. All files but the root are links to those of the
/// checkout. Returns the root.
fn lay_out_in_driver(dir: &Path, driver: &Path, program: &str) -> Result<PathBuf> {
    let folder = driver.parent().context("a driver lies in a folder")?;
    let name = driver.file_name().context("a driver is a file")?;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_name() != name {
            symlink(entry.path(), dir.join(entry.file_name()))?;
        }
    }
    let root = dir.join(name);
    let text = fs::read_to_string(driver).with_context(|| driver.display().to_string())?;
    fs::write(dir.join("misuse.rs"), program)?;
    fs::write(&root, format!("{text}\nmod misuse;\n"))?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_becomes_a_module_of_a_driver() {
        let scratch =
            std::env::temp_dir().join(format!("compile-fail-test-{}", std::process::id()));
        let driver = scratch.join("driver");
        fs::create_dir_all(driver.join("sys")).unwrap();
        fs::write(driver.join("root.rs"), "//! Docs.\nmod sys;\n").unwrap();
        fs::write(driver.join("sys/mod.rs"), "// sys\n").unwrap();
        let dir = scratch.join("case");
        fs::create_dir(&dir).unwrap();

        let root = lay_out_in_driver(&dir, &driver.join("root.rs"), "// program\n").unwrap();
        assert_eq!(root, dir.join("root.rs"));
        let text = fs::read_to_string(&root).unwrap();
        assert_eq!(text, "//! Docs.\nmod sys;\n\nmod misuse;\n");
        assert_eq!(
            fs::read_to_string(dir.join("sys/mod.rs")).unwrap(),
            "// sys\n"
        );
        assert_eq!(
            fs::read_to_string(dir.join("misuse.rs")).unwrap(),
            "// program\n"
        );
        fs::remove_dir_all(&scratch).unwrap();
    }
}
