// SPDX-License-Identifier: GPL-2.0

//! The compilers, with the flags that Kbuild gave them.
//!
//! Kbuild keeps each command beside what it made, as `.NAME.cmd`; the kernel's
//! `gen_compile_commands.py` reads them as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory that `make modules` has filled.
pub struct Objects {
    dir: PathBuf,
    /// clang and the flags of the bindings' header.
    clang: String,
    /// The header.
    pub header: String,
    /// rustc and the flags of a crate that uses the crate `linux`.
    rustc: String,
}

/// The command that made a file, from the text of its `.cmd` file.
fn saved_command(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("savedcmd_"))?;
    let (_, command) = line.split_once(" := ")?;
    Some(command.replace("$(pound)", "#").replace("$$", "$"))
}

/// clang's command and the header, from bindgen's command.
fn clang_of(bindgen: &str) -> Option<(String, String)> {
    let header = bindgen.split(' ').nth(1)?.to_owned();
    let (_, flags) = bindgen.split_once(" -- ")?;
    let flags: Vec<&str> = flags
        .split(' ')
        .filter(|flag| !flag.starts_with("-Wp,-MMD") && *flag != "-D__BINDGEN__")
        .collect();
    Some((format!("clang {}", flags.join(" ")), header))
}

/// The command without what names the crate, its source and its output.
fn rustc_of(library: &str) -> Option<String> {
    let (command, _) = library.split_once(" --crate-name ")?;
    Some(command.to_owned())
}

impl Objects {
    /// Reads the commands in `dir`.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let command = |name: &str| {
            let path = dir.join(name);
            let text = read(&path)?;
            saved_command(&text).ok_or(format!("{}: no command", path.display()))
        };
        let bindgen = command("rust/bindings/.bindings_generated.rs.cmd")?;
        let library = command("rust/.linux_aux.o.cmd")?;
        let (clang, header) = clang_of(&bindgen).ok_or("bindgen's command is not as expected")?;
        let rustc = rustc_of(&library).ok_or("rustc's command is not as expected")?;
        for flag in ["--emit=llvm-ir", "--emit=mir", "-Zsanitizer=kcfi"] {
            if !rustc.contains(flag) {
                return Err(format!("{}: not built with {flag}", dir.display()));
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            clang,
            header,
            rustc,
        })
    }

    /// Runs clang with further arguments.
    pub fn clang(&self, arguments: &str) -> Result<Output, String> {
        self.run(&format!("{} {arguments}", self.clang))
    }

    /// Compiles a crate to MIR and LLVM IR beside its source.
    pub fn rustc(&self, name: &str, source: &Path) -> Result<(), String> {
        let dir = source.parent().unwrap_or(Path::new("."));
        let output = self.run(&format!(
            "{} --crate-name {name} --crate-type rlib --out-dir {} {}",
            self.rustc,
            dir.display(),
            source.display()
        ))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{}: {}",
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    fn run(&self, command: &str) -> Result<Output, String> {
        Command::new("sh")
            .args(["-c", command])
            // As Kbuild has it.
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(&self.dir)
            .output()
            .map_err(|error| format!("sh: {error}"))
    }

    /// All files whose names end so, below the directory.
    pub fn files(&self, extension: &str) -> Result<Vec<PathBuf>, String> {
        let mut all = Vec::new();
        let mut todo = vec![self.dir.clone()];
        while let Some(dir) = todo.pop() {
            let entries =
                std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    todo.push(path);
                } else if path.extension().is_some_and(|found| found == extension) {
                    all.push(path);
                }
            }
        }
        all.sort();
        Ok(all)
    }
}

/// A whole file.
pub fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let text = "savedcmd_rust/b.rs := bindgen /s/b.h --x='$(pound)[y]' -o rust/b.rs -- -Wp,-MMD,b.d -I/t -D__BINDGEN__ -DMODULE\n\nsource_b := x\n";
        let command = saved_command(text).unwrap();
        assert!(command.contains("--x='#[y]'"));
        assert_eq!(
            clang_of(&command),
            Some(("clang -I/t -DMODULE".to_owned(), "/s/b.h".to_owned()))
        );
        assert_eq!(
            rustc_of("A=b rustc -Copt-level=2 --crate-name linux_aux --crate-type rlib a.rs"),
            Some("A=b rustc -Copt-level=2".to_owned())
        );
    }
}
