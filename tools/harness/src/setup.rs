// SPDX-License-Identifier: GPL-2.0

//! What the shell has set up, and what it does for this program. Documentation/harness.rst
//! describes both halves of the interface.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where everything is: the `SIOV_*` variables of scripts/lib/setup.sh.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The checkout.
    pub src: PathBuf,
    /// The cache.
    pub cache: PathBuf,
    /// What the build makes.
    pub build: PathBuf,
    /// The kernel tree.
    pub tree: PathBuf,
    /// The kernel of the matrix, such as 7.3.
    pub kernel: String,
    /// All kernels of the matrix.
    pub kernels: Vec<String>,
    /// Whether it is the debug kernel.
    pub debug: bool,
    /// The kernel's release, as uname -r prints it.
    pub release: String,
    /// The kernel's modules; like `image` a path in the root.
    pub modules: PathBuf,
    /// The kernel's image.
    pub image: PathBuf,
    /// The compiler of the kernel.
    pub cc: String,
    /// make's words for the compilers.
    pub tools: Vec<String>,
}

fn variable(name: &str) -> Result<String> {
    let name = format!("SIOV_{name}");
    std::env::var(&name).ok().with_context(|| {
        format!("{name} is not set: this program is started by scripts/test, bench, vm and demo")
    })
}

fn words(name: &str) -> Result<Vec<String>> {
    Ok(variable(name)?.split(' ').map(str::to_owned).collect())
}

impl Setup {
    /// Reads the variables.
    ///
    /// # Errors
    ///
    /// One is not there.
    pub fn from_environment() -> Result<Self> {
        let path = |name| variable(name).map(PathBuf::from);
        Ok(Setup {
            src: path("SRC")?,
            cache: path("CACHE")?,
            build: path("BUILD")?,
            tree: path("TREE")?,
            kernel: variable("KERNEL")?,
            kernels: words("KERNELS")?,
            debug: !variable("DEBUG")?.is_empty(),
            release: variable("KREL")?,
            modules: path("MODDIR")?,
            image: path("VMLINUZ")?,
            cc: variable("CC")?,
            tools: words("TOOLS")?,
        })
    }

    /// The kernel, for people.
    pub fn title(&self) -> String {
        let debug = if self.debug { " (debug)" } else { "" };
        format!("kernel {}{debug}", self.release)
    }

    /// Programs for host and guest.
    pub fn programs(&self) -> PathBuf {
        self.build.join("target/x86_64-unknown-linux-gnu/release")
    }

    /// The payloads of micro-bench.
    pub fn payloads(&self) -> PathBuf {
        self.build.join("micro-bench")
    }

    /// The plugin that a library of the workspace is.
    pub fn plugin(&self, name: &str) -> PathBuf {
        let library = format!("lib{}.so", name.replace('-', "_"));
        self.build.join("target/plugins/release").join(library)
    }

    /// The file whose lock a build holds, and who reads what it makes.
    pub fn build_lock(&self) -> PathBuf {
        let name = self.build.file_name().unwrap_or_default();
        self.cache.join("locks").join(name)
    }

    /// `scripts/lib/step NAME`. It dies with the thread that starts it.
    pub fn step(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "bash"])
            .arg(self.src.join("scripts/lib/step"))
            .arg(name);
        command
    }

    /// A command in the Debian root.
    pub fn root(&self) -> InRoot {
        InRoot(self.step("root"))
    }
}

/// A command in the Debian root, which shows the checkout, the cache and /tmp at their own paths.
pub struct InRoot(Command);

impl InRoot {
    /// Runs it in a directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.0.arg("-C").arg(dir);
        self
    }

    /// Shows a further directory of this machine.
    pub fn bind(mut self, dir: &Path) -> Self {
        self.0.arg("-b").arg(dir);
        self
    }

    /// Sets a variable. It has no others.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.arg("-e").arg(format!("{name}={value}"));
        self
    }

    /// The command itself.
    pub fn command(mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.0.args(words);
        self.0
    }
}
