// SPDX-License-Identifier: GPL-2.0

//! The files of the repository.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The checkout that this crate is in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A text file.
#[derive(Clone, Debug)]
pub struct File {
    /// From the root of the repository, with `/` between folders.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl File {
    /// Reads `path` below `root`.
    ///
    /// # Errors
    ///
    /// Those of reading it.
    pub fn read(root: &Path, path: &str) -> Result<Self> {
        let text = fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?;
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// Its lines with their numbers, from 1 on.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line))
    }
}

/// All files below `folder` whose name ends with one of `endings`, in the order of their paths.
/// Build output and hidden folders are skipped.
///
/// # Errors
///
/// Those of reading them.
pub fn files(root: &Path, folder: &str, endings: &[&str]) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).with_context(|| folder.clone())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = format!("{folder}/{name}");
            if entry.file_type()?.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                files.push(File::read(root, &path)?);
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// README.md and the documents.
///
/// # Errors
///
/// Those of reading them.
pub fn documents(root: &Path) -> Result<Vec<File>> {
    let mut documents = vec![File::read(root, "README.md")?];
    documents.extend(files(root, "Documentation", &[".rst"])?);
    Ok(documents)
}
