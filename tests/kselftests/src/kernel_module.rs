// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading kernel modules.

use crate::ktap::Result;
use crate::sysfs;
use anyhow::Context;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Loads a module and what it depends on, unless it is loaded.
///
/// # Errors
///
/// modprobe's words.
pub fn modprobe(name: &str, parameters: &str) -> Result {
    let output = Command::new("modprobe")
        .arg(name)
        .args(parameters.split_whitespace())
        .output()
        .context("modprobe")?;
    if !output.status.success() {
        anyhow::bail!(
            "modprobe {name} {parameters}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The file of one of this repository's modules.
///
/// # Errors
///
/// Those of procfs.
pub fn file(name: &str) -> Result<PathBuf> {
    let release = sysfs::read("/proc/sys/kernel/osrelease")?;
    Ok(PathBuf::from(format!(
        "/lib/modules/{release}/updates/{name}.ko"
    )))
}

/// Loads one of this repository's modules. Unlike [`modprobe`] it tells the error number, and it
/// does not load what the module depends on.
///
/// # Errors
///
/// Those of finit_module(2).
pub fn load(name: &str, parameters: &str) -> Result {
    load_file(&file(name)?, parameters)
}

/// Loads a module from a file, and nothing else.
///
/// # Errors
///
/// Those of finit_module(2).
pub fn load_file(path: impl AsRef<Path>, parameters: &str) -> Result {
    let path = path.as_ref().display();
    let module = File::open(path.to_string()).with_context(|| path.to_string())?;
    let words = CString::new(parameters)?;
    finit_module(&module, &words, ModuleInitFlags::empty())
        .with_context(|| format!("load {path} {parameters}"))
}

/// Loads the shipped module of a name that one of ours has, which the suite brings along (`have =
/// stock:NAME`).
///
/// # Errors
///
/// insmod's words.
pub fn load_stock(name: &str, parameters: &str) -> Result {
    let output = Command::new("insmod")
        .arg(format!("/siov/stock/{name}.ko"))
        .args(parameters.split_whitespace())
        .output()
        .context("insmod")?;
    if !output.status.success() {
        anyhow::bail!(
            "insmod {name} {parameters}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Unloads a module.
///
/// # Errors
///
/// Those of delete_module(2): `EWOULDBLOCK` while it is in use.
pub fn unload(name: &str) -> Result {
    let words = CString::new(name)?;
    delete_module(&words, DeleteModuleFlags::O_NONBLOCK).with_context(|| format!("unload {name}"))
}

/// Whether a module is loaded.
pub fn is_loaded(name: &str) -> bool {
    Path::new("/sys/module")
        .join(name)
        .join("initstate")
        .exists()
}

/// How many users a module has.
///
/// # Errors
///
/// When it is not loaded.
pub fn references(name: &str) -> Result<u64> {
    Ok(sysfs::read(format!("/sys/module/{name}/refcnt"))?.parse()?)
}
