// SPDX-License-Identifier: GPL-2.0

//! Everything that user space can see of the core, as lines of text: once of the stock module, once
//! of ours.

use crate::{load_samples, unload_samples, SAMPLES};
use anyhow::{ensure, Context as _};
use siov_kselftests::kernel_module::{is_loaded, load, load_file, unload};
use siov_kselftests::ktap::{note, Result};
use siov_kselftests::mdev::{uuid, Mdev, Parent};
use siov_kselftests::sysfs;
use siov_kselftests::uevent::Listener;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Files whose contents are a matter of time, or of the driver core.
const VOLATILE: [&str; 4] = [
    "runtime_status",
    "runtime_active_time",
    "runtime_suspended_time",
    "dev",
];

/// What we have more than the stock module, in the folder of a device.
const OURS: &str = "/domain_type ";

/// Every file below `path`, with mode, target or contents. Links are not followed.
fn tree(path: &Path, lines: &mut Vec<String>) -> Result {
    let mut entries = fs::read_dir(path)
        .with_context(|| path.display().to_string())?
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let shown = path.display();
        let meta = path.symlink_metadata()?;
        if meta.is_symlink() {
            lines.push(format!("{shown} -> {}", fs::read_link(&path)?.display()));
        } else if meta.is_dir() {
            lines.push(format!("{shown}/ {:o}", meta.permissions().mode()));
            tree(&path, lines)?;
        } else {
            let name = entry.file_name();
            let volatile = VOLATILE.iter().any(|v| *v == name);
            let text = if volatile {
                "...".to_owned()
            } else {
                fs::read_to_string(&path).map_or_else(|e| e.to_string(), |text| format!("{text:?}"))
            };
            lines.push(format!("{shown} {:o} {text}", meta.permissions().mode()));
        }
    }
    Ok(())
}

/// What a write is answered with.
fn answer(file: impl AsRef<Path>, value: &str, lines: &mut Vec<String>) {
    let file = file.as_ref();
    let result = match sysfs::write(file, value) {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("errno {:?}", sysfs::errno(&error)),
    };
    lines.push(format!("write {value:?} to {}: {result}", file.display()));
}

/// What malformed, repeated and excessive requests are answered with.
fn errors(parent: &Parent, lines: &mut Vec<String>) -> Result {
    let types = parent.types()?;
    let ty = types.first().context("a parent without types")?;
    let create = parent.type_path(ty).join("create");
    let name = uuid(100);
    for text in [
        "",
        "x",
        "83b8f4f2-509f-382f-3c1e-e6bfe0fa10",
        "83b8f4f2-509f-382f-3c1e-e6bfe0fa10011",
        "83b8f4f2-509f-382f-3c1e-e6bfe0fa10011\n",
        "83b8f4f2x509f-382f-3c1e-e6bfe0fa1001",
        "g3b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
        &name.to_uppercase(),
        &name,
        &format!("{name}\n"),
    ] {
        answer(&create, text, lines);
    }
    let remove = Path::new(siov_kselftests::mdev::BUS)
        .join(&name)
        .join("remove");
    for text in ["", "x", "0", "-1", "18446744073709551616", "0x0", "0x1"] {
        answer(&remove, text, lines);
    }
    // Until no instance is left, and one more.
    for number in 200..232 {
        answer(&create, &uuid(number), lines);
        let left = parent.available(ty)?;
        lines.push(format!("available {left}"));
        if left == 0 {
            answer(&create, &uuid(number + 1), lines);
            break;
        }
    }
    for number in 200..232 {
        let path = Path::new(siov_kselftests::mdev::BUS).join(uuid(number));
        if path.exists() {
            answer(path.join("remove"), "1", lines);
        }
    }
    lines.push(format!("available {:?}", parent.available(ty)));
    for file in ["name", "device_api", "available_instances", "description"] {
        answer(parent.type_path(ty).join(file), "1", lines);
    }
    Ok(())
}

/// All that can be seen of the core that is loaded.
fn observe() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let listener = Listener::new()?;
    load_samples()?;
    for (number, name) in (0..).zip(SAMPLES) {
        let parent = Parent::find(name)?;
        lines.push(format!("{name} is {}", parent.path().display()));
        let types = parent.types()?;
        let made = types
            .iter()
            .zip(10 * number..)
            .map(|(ty, n)| parent.create(ty, &uuid(n)))
            .collect::<Result<Vec<Mdev>>>()?;
        tree(&parent.path().join("mdev_supported_types"), &mut lines)?;
        for mdev in &made {
            tree(&fs::canonicalize(mdev.path())?, &mut lines)?;
        }
        tree(Path::new("/sys/class/mdev_bus"), &mut lines)?;
        tree(Path::new("/sys/bus/mdev"), &mut lines)?;
        for mdev in &made {
            mdev.remove()?;
            ensure!(!mdev.exists(), "{} stays", mdev.uuid());
        }
        errors(&parent, &mut lines)?;
        // One is left for the driver to take along.
        parent.create(types.first().context("no type")?, &uuid(10 * number))?;
        lines.extend(listener.heard()?);
    }
    unload_samples()?;
    lines.extend(listener.heard()?);
    Ok(lines)
}

/// Runs [`observe`] over both modules.
pub fn compare(_: &mut ()) -> Result {
    if is_loaded("mdev") {
        unload("mdev")?;
    }
    load_file("/siov/stock/mdev.ko", "")?;
    let stock = observe()?;
    unload("mdev")?;
    load("mdev", "")?;
    let ours = observe()?;

    let more: Vec<_> = ours.iter().filter(|line| line.contains(OURS)).collect();
    ensure!(more.len() >= 6, "{} files domain_type", more.len());
    for line in &more {
        ensure!(line.ends_with(r#"100444 "no-iommu\n""#), "{line}");
    }
    let ours: Vec<_> = ours.iter().filter(|line| !line.contains(OURS)).collect();
    ensure!(stock.len() > 300, "only {} lines to compare", stock.len());
    let mut differ = 0;
    for index in 0..stock.len().max(ours.len()) {
        let (a, b) = (stock.get(index), ours.get(index).copied());
        if a != b && differ < 10 {
            note(format!("stock: {a:?}\nours:  {b:?}"));
            differ += 1;
        }
    }
    note(format!("{} lines compared", stock.len()));
    ensure!(differ == 0, "the modules differ");
    Ok(())
}
