// SPDX-License-Identifier: GPL-2.0

//! The command line of the compiler, as Kbuild saved it when it built a module.

use anyhow::{bail, Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a file as Kbuild compiled a module, but for its result: nothing is generated, and
/// warnings are not reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rustc {
    environment: Vec<(String, String)>,
    program: String,
    arguments: Vec<String>,
}

impl Rustc {
    /// That of the crate whose root is `source`, a path in the checkout, from Kbuild's output in
    /// `build`.
    ///
    /// # Errors
    ///
    /// When it has not been built.
    pub fn of(build: &Path, source: &Path) -> Result<Self> {
        let saved = saved_command(build, source)?;
        let text = std::fs::read_to_string(&saved)
            .with_context(|| format!("{}: is it built?", saved.display()))?;
        Self::parse(&text).with_context(|| format!("{}", saved.display()))
    }

    /// Reads the text of a `.NAME.o.cmd`.
    fn parse(text: &str) -> Result<Self> {
        let line = text.lines().next().unwrap_or_default();
        let (_, command) = line.split_once(" := ").context("no saved command")?;
        // make's own escapes (make-cmd of scripts/Kbuild.include).
        let words = split(&command.replace("$(pound)", "#").replace("$$", "$"))?;
        let mut words = words.into_iter().take_while(|word| word != ";").peekable();

        let mut environment = Vec::new();
        while let Some(variable) =
            words.next_if(|word| !word.starts_with('-') && word.contains('='))
        {
            if let Some((name, value)) = variable.split_once('=') {
                environment.push((name.to_owned(), value.to_owned()));
            }
        }
        let program = words.next().context("no program in the saved command")?;
        let mut arguments = Vec::new();
        while let Some(word) = words.next() {
            if word == "--out-dir" || word == "--crate-name" {
                words.next();
            } else if !(word.starts_with("--emit=")
                || word == "-Dwarnings"
                || word.ends_with(".rs"))
            {
                arguments.push(word);
            }
        }
        Ok(Self {
            environment,
            program,
            arguments,
        })
    }

    /// Lets the file use these crates of rust/, and no others.
    pub fn with_crates(mut self, crates: &[String]) -> Self {
        let mut arguments = Vec::new();
        let mut words = self.arguments.into_iter().peekable();
        while let Some(word) = words.next() {
            if word != "--extern" || words.next_if(|value| value.contains('=')).is_none() {
                arguments.push(word);
            }
        }
        for name in crates {
            arguments.push("--extern".into());
            arguments.push(format!("{name}=./rust/lib{name}.rmeta"));
        }
        self.arguments = arguments;
        self
    }

    /// The command that checks `root` in Kbuild's output `build`; what it emits goes to `out`.
    pub fn command(&self, build: &Path, root: &Path, out: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(build)
            // Exported by the kernel's Makefile.
            .env("RUSTC_BOOTSTRAP", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(&self.arguments)
            .args([
                "-Awarnings",
                "--error-format=short",
                "--emit=metadata",
                "--out-dir",
            ])
            .arg(out)
            .arg(root);
        command
    }
}

/// Where Kbuild has saved the command for `source`.
fn saved_command(build: &Path, source: &Path) -> Result<PathBuf> {
    let Some(stem) = source.file_stem().and_then(|stem| stem.to_str()) else {
        bail!("{} is no file of Rust", source.display());
    };
    Ok(build.join(source).with_file_name(format!(".{stem}.o.cmd")))
}

/// Splits into words as a shell does, with both kinds of quotes.
fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, ';') => {
                words.extend(word.take());
                words.push(";".to_owned());
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        bail!("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "savedcmd_a/b.o := OBJTREE=/tree MOD=./b rustc --edition=2021 \
        -Dwarnings -Dnon_ascii_idents --extern linux=./rust/liblinux.rmeta --extern kernel \
        -L ./rust @/tree/cfg -Zcrate-attr='feature(a,b)' --out-dir a/ --emit=dep-info=a/.b.o.d \
        --emit=obj=a/b.o /src/a/b.rs ; ./objtool --link a/b.o\n\n\
        source_a/b.o := /src/a/b.rs\n";

    #[test]
    fn the_command_of_a_module_is_kept_but_for_its_output() {
        let rustc = Rustc::parse(SAVED).unwrap();
        assert_eq!(rustc.program, "rustc");
        assert_eq!(
            rustc.environment,
            [
                ("OBJTREE".into(), "/tree".into()),
                ("MOD".into(), "./b".into())
            ]
        );
        assert_eq!(
            rustc.arguments.join(" "),
            "--edition=2021 -Dnon_ascii_idents --extern linux=./rust/liblinux.rmeta \
             --extern kernel -L ./rust @/tree/cfg -Zcrate-attr=feature(a,b)"
        );
    }

    #[test]
    fn a_case_uses_the_crates_that_it_names() {
        let rustc = Rustc::parse(SAVED)
            .unwrap()
            .with_crates(&["siov_types".into()]);
        assert_eq!(
            rustc.arguments.join(" "),
            "--edition=2021 -Dnon_ascii_idents --extern kernel -L ./rust @/tree/cfg \
             -Zcrate-attr=feature(a,b) --extern siov_types=./rust/libsiov_types.rmeta"
        );
    }

    #[test]
    fn the_file_of_a_command_lies_beside_the_object() {
        let path = saved_command(Path::new("/build"), Path::new("drivers/a/b.rs")).unwrap();
        assert_eq!(path, Path::new("/build/drivers/a/.b.o.cmd"));
    }

    #[test]
    fn words_are_split_as_in_a_shell() {
        let words = split("a 'b c' \"d e\"f g\\ h '' i;j").unwrap();
        assert_eq!(words, ["a", "b c", "d ef", "g h", "", "i", ";", "j"]);
        assert!(split("'a").is_err());
    }

    #[test]
    fn what_is_no_command_is_an_error() {
        assert!(Rustc::parse("").is_err());
        assert!(Rustc::parse("savedcmd_x := A=b\n").is_err());
    }
}
