// SPDX-License-Identifier: GPL-2.0

//! What a guest is given: an initramfs of busybox and modules, which the shell caches, and behind
//! it a second archive with what differs from run to run, which the kernel unpacks over the first.

use super::run::Place;
use super::value::{CopyFile, KvmModule, Member};
use super::Guest;
use crate::context::Context;
use anyhow::{ensure, Context as _, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Holds the lock of the build directory: a guest must not take half-written modules.
///
/// # Errors
///
/// The lock file cannot be opened.
pub fn lock_build(context: &Context) -> Result<Flock<File>> {
    let path = context.setup.build_lock();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| path.display().to_string())
}

/// Makes `initramfs` in the guest's directory.
///
/// # Errors
///
/// Something is missing or cannot be built; what the commands said is in the log.
pub fn make(context: &Context, guest: &Guest, place: &Place<'_>) -> Result<()> {
    let maker = Maker {
        context,
        guest,
        place,
    };
    let _lock = lock_build(context)?;
    let mut copies = maker.programs();
    for sample in &guest.samples {
        copies.push(maker.sample(sample)?);
    }
    for kselftest in &guest.kselftests {
        copies.push(maker.kselftest(kselftest)?);
    }
    for payload in &guest.payloads {
        let path = context.setup.payloads().join(payload);
        copies.push(CopyFile {
            from: path,
            to: format!("/siov/{payload}")
                .parse()
                .map_err(anyhow::Error::msg)?,
        });
    }
    copies.extend(guest.copies.iter().cloned());
    maker.modules()?;
    maker.overlay(&copies)
}

struct Maker<'a> {
    context: &'a Context,
    guest: &'a Guest,
    place: &'a Place<'a>,
}

impl Maker<'_> {
    fn run(&self, what: &str, command: &mut Command) -> Result<()> {
        self.place.log.attach(command)?;
        let status = self.context.processes.status(command)?;
        ensure!(status.success(), "{what} failed");
        Ok(())
    }

    /// The commands' programs that the workspace builds.
    fn programs(&self) -> Vec<CopyFile> {
        let folder = self.context.setup.programs();
        let mut copies: Vec<CopyFile> = Vec::new();
        for name in self.guest.commands.iter().filter_map(|line| line.program()) {
            let path = folder.join(name);
            let is_program = path
                .metadata()
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
            if is_program && !copies.iter().any(|known| known.from == path) {
                copies.push(CopyFile::program(path, name));
            }
        }
        copies
    }

    /// A module of the kernel's samples/, which the shipped kernel lacks, built in the root out of
    /// a copy of the prepared tree's source, unchanged.
    fn sample(&self, sample: &Member) -> Result<CopyFile> {
        let setup = &self.context.setup;
        let dir = setup.build.join("samples").join(&sample.folder);
        fs::create_dir_all(&dir)?;
        let source = setup.tree.join("samples").join(&sample.folder);
        for entry in fs::read_dir(&source).with_context(|| source.display().to_string())? {
            let from = entry?.path();
            if from
                .extension()
                .is_some_and(|ending| ending == "c" || ending == "h")
            {
                copy_if_newer(&from, &dir.join(from.file_name().unwrap_or_default()))?;
            }
        }
        fs::write(
            dir.join(format!("{}.kbuild", sample.name)),
            format!("obj-m += {}.o\n", sample.name),
        )?;
        let mut kbuild: Vec<_> = fs::read_dir(&dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "kbuild"))
            .collect();
        kbuild.sort();
        let lines: std::io::Result<Vec<_>> = kbuild.iter().map(fs::read_to_string).collect();
        fs::write(dir.join("Kbuild"), lines?.concat())?;

        let mut words = vec![String::from("make"), String::from("-C")];
        words.push(setup.tree.display().to_string());
        words.extend(setup.tools.iter().cloned());
        words.push(format!("M={}", dir.display()));
        words.push(String::from("modules"));
        self.run(
            &format!("sample {sample}"),
            &mut setup.root().command(words),
        )?;

        let made = dir.join(format!("{}.ko", sample.name));
        let stripped = dir.join(format!("{}.stripped.ko", sample.name));
        let strip = ["strip".as_ref(), "--strip-debug".as_ref(), "-o".as_ref()];
        let files = [stripped.as_os_str(), made.as_os_str()];
        let words = strip.into_iter().chain(files);
        self.run("strip", &mut setup.root().command(words))?;
        Ok(CopyFile {
            from: stripped,
            to: format!("/siov/samples/{}.ko", sample.name)
                .parse()
                .map_err(anyhow::Error::msg)?,
        })
    }

    /// One of the kernel's own selftests, static because the guest has no libraries. What
    /// tests/kselftests/upstream/SUITE holds in C is linked into every program of the suite.
    fn kselftest(&self, test: &Member) -> Result<CopyFile> {
        let setup = &self.context.setup;
        let out = setup.build.join("kselftests").join(&test.folder);
        fs::create_dir_all(out.join("ours"))?;
        let ours = setup
            .src
            .join("tests/kselftests/upstream")
            .join(&test.folder);
        let mut sources: Vec<_> = match fs::read_dir(&ours) {
            Ok(entries) => entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|ending| ending == "c"))
                .collect(),
            Err(_) => Vec::new(),
        };
        sources.sort();
        let mut objects = Vec::new();
        for source in &sources {
            let name = source.file_stem().unwrap_or_default();
            let object = out.join("ours").join(name).with_extension("o");
            let mut words = vec![setup.cc.as_ref(), "-Wall".as_ref(), "-Werror".as_ref()];
            words.extend(["-c".as_ref(), source.as_os_str()]);
            words.extend(["-o".as_ref(), object.as_os_str()]);
            self.run(
                &source.display().to_string(),
                &mut setup.root().command(words),
            )?;
            objects.push(object.display().to_string());
        }
        let program = out.join(&test.name);
        // Linked anew each time: make does not know of the objects in LDLIBS.
        if program.exists() {
            fs::remove_file(&program)?;
        }
        let suite = setup
            .tree
            .join("tools/testing/selftests")
            .join(&test.folder);
        let words = [
            String::from("make"),
            String::from("-C"),
            suite.display().to_string(),
            format!("OUTPUT={}", out.display()),
            format!("CC={}", setup.cc),
            program.display().to_string(),
        ];
        let mut command = setup
            .root()
            .env("LDFLAGS", "-static")
            .env("LDLIBS", &objects.join(" "))
            .command(words);
        self.run(&format!("kselftest {test}"), &mut command)?;
        Ok(CopyFile::program(program, &test.name))
    }

    /// The archive that the shell has in its cache.
    fn modules(&self) -> Result<()> {
        let mut command = self.context.setup.step("initramfs");
        command.arg(self.place.dir.join("initramfs"));
        let modules = self.guest.modules.iter().chain(&self.guest.have);
        command.args(modules.map(|module| module.name()));
        self.run("initramfs", &mut command)
    }

    /// The second archive, appended to the first.
    fn overlay(&self, copies: &[CopyFile]) -> Result<()> {
        let stage = self.place.dir.join("overlay");
        let siov = stage.join("siov");
        fs::create_dir_all(siov.join("bin"))?;
        let modules = self
            .guest
            .modules
            .iter()
            .map(|module| format!("{module}\n"));
        fs::write(siov.join("modules"), modules.collect::<String>())?;
        let commands = self.guest.commands.iter();
        let commands =
            commands.map(|command| format!("{} {}\n", command.kind.word(), command.line));
        fs::write(siov.join("commands"), commands.collect::<String>())?;
        if self.guest.shell {
            fs::write(siov.join("shell"), "")?;
        } else {
            let patience = self.guest.timeout.as_secs() * 3 / 4;
            fs::write(siov.join("patience"), format!("{patience}\n"))?;
        }
        for copy in copies {
            let to = copy.to.below(&stage);
            make_parent(&to)?;
            fs::copy(&copy.from, &to)
                .with_context(|| format!("{}: cannot be copied", copy.from.display()))?;
        }
        if let Some(kvm) = self.guest.kvm {
            self.kvm(kvm, &stage)?;
        }
        if let Some(arguments) = &self.guest.acpi {
            self.dmar_table(arguments, &stage)?;
        }
        self.archive(&stage)?;
        fs::remove_dir_all(&stage)?;
        Ok(())
    }

    fn kvm(&self, kvm: KvmModule, stage: &Path) -> Result<()> {
        let release = self.context.setup.modules.file_name().unwrap_or_default();
        let to = stage
            .join("lib/modules")
            .join(release)
            .join("updates/kvm.ko");
        make_parent(&to)?;
        let mut command = self.context.setup.step("kvm-variant");
        self.run("kvm.ko", command.arg(kvm.word()).arg(to))
    }

    /// A DMAR table in place of QEMU's. The kernel looks for this path in all of an uncompressed
    /// initramfs (its Documentation/admin-guide/acpi/initrd_table_override.rst).
    fn dmar_table(&self, arguments: &str, stage: &Path) -> Result<()> {
        let to = stage.join("kernel/firmware/acpi/dmar.aml");
        make_parent(&to)?;
        let mut command = Command::new(self.context.setup.programs().join("dmar-table"));
        command.args(arguments.split_whitespace());
        self.place.log.attach(&mut command)?;
        let status = self
            .context
            .processes
            .status(command.stdout(File::create(&to)?))?;
        ensure!(status.success(), "dmar-table {arguments} failed");
        Ok(())
    }

    /// What only the root has comes along there, where the archive is made as well.
    fn archive(&self, stage: &Path) -> Result<()> {
        const SCRIPT: &str = r#"
            set -euo pipefail
            initramfs=$1 image=$2 image_to=$3
            shift 3
            while [ "$1" != -- ]; do
                cp -L --parents "$1" .
                shift
            done
            shift
            for name; do
                program=$(command -v "$name") || { echo "no program $name in the root"; exit 1; }
                cp -L --parents "$program" .
                # ldd fails for one that is linked statically.
                libraries=$(ldd "$program" 2>/dev/null | grep -o "/[^ ]*") || libraries=
                echo "$libraries" | xargs -r cp -L --parents -t .
            done
            if [ -n "$image_to" ]; then
                mkdir -p ".${image_to%/*}"
                cp -L "$image" ".$image_to"
            fi
            find . -print0 | cpio --quiet -0 -o -H newc -R 0:0 >>"$initramfs"
        "#;
        let image = self.guest.kernel_image.as_ref();
        let image = image.map_or(String::new(), |path| path.to_string());
        let mut words: Vec<String> = ["bash", "-c", SCRIPT, "archive"].map(String::from).into();
        words.push(self.place.dir.join("initramfs").display().to_string());
        words.push(self.context.setup.image.display().to_string());
        words.push(image);
        words.extend(self.guest.data.iter().map(|path| path.to_string()));
        words.push(String::from("--"));
        words.extend(self.guest.programs.iter().cloned());
        let root = self.context.setup.root().bind(self.place.dir).dir(stage);
        self.run("the guest's files", &mut root.command(words))
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())
}

/// make compares dates, so what has not changed keeps its own.
fn copy_if_newer(from: &Path, to: &Path) -> Result<()> {
    let time = |path: &Path| path.metadata().and_then(|data| data.modified());
    if to.exists() && time(to)? >= time(from)? {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}
