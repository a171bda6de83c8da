// SPDX-License-Identifier: GPL-2.0

//! A QEMU that is understood.

use std::sync::OnceLock;

use crate::layout::{Layout, Refusal};
use crate::libc;
use crate::symbols::Symbols;

/// QEMU's functions and the layout of its structures: proof that both have been found and checked.
pub struct Qemu {
    pub(crate) symbols: Symbols,
    pub(crate) layout: Layout,
}

// SAFETY: only addresses that do not change.
unsafe impl Send for Qemu {}
// SAFETY: as above.
unsafe impl Sync for Qemu {}

static QEMU: OnceLock<Result<Qemu, Refusal>> = OnceLock::new();

impl Qemu {
    /// The QEMU that [`find`](Self::find) has found.
    pub(crate) fn found() -> Option<&'static Self> {
        QEMU.get()?.as_ref().ok()
    }

    /// Finds QEMU in this process. The first call decides; later ones return the same.
    ///
    /// # Errors
    ///
    /// What is missing, or not understood.
    ///
    /// # Safety
    ///
    /// The process is QEMU (or something that has none of its symbols), its types are registered, and
    /// the calling thread is the one that sets QEMU up, which holds the big lock.
    pub unsafe fn find() -> Result<&'static Self, Refusal> {
        // SAFETY: as the caller promises.
        QEMU.get_or_init(|| unsafe { Self::look() })
            .as_ref()
            .map_err(Clone::clone)
    }

    /// # Safety
    ///
    /// As for [`find`](Self::find).
    unsafe fn look() -> Result<Self, Refusal> {
        // SAFETY: dlsym() finds QEMU's symbols in QEMU.
        let symbols = unsafe { Symbols::resolve(libc::symbol) }.map_err(|missing| {
            Refusal::new(format!(
                "this program does not export {}",
                missing.join(", ")
            ))
        })?;
        // SAFETY: as the caller promises.
        let layout = unsafe { Layout::find(&symbols) }
            .map_err(|refusal| Refusal::new(format!("{}: {refusal}", version(&symbols))))?;
        Ok(Self { symbols, layout })
    }

    /// Prints an error on QEMU's standard error or monitor.
    pub(crate) fn report(&self, text: &str) {
        self.symbols.report(text);
    }

    /// Prints a warning on QEMU's standard error or monitor.
    pub(crate) fn warn(&self, text: &str) {
        self.symbols.warn(text);
    }

    /// Names of optional functions that this QEMU lacks; what needs them is refused by the device that
    /// wants it.
    pub fn absent(&self) -> Vec<&'static str> {
        self.symbols.absent()
    }
}

/// "QEMU 11.1.3", as well as it is known.
fn version(symbols: &Symbols) -> String {
    let Some(query) = symbols.qmp_query_version else {
        return "QEMU of unknown version".into();
    };
    // SAFETY: the result is a VersionInfo, which starts with a pointer to three numbers. It is leaked,
    // because nothing exported frees it.
    let [major, minor, micro] = unsafe { **query(std::ptr::null_mut()) };
    format!("QEMU {major}.{minor}.{micro}")
}
