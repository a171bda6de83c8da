// SPDX-License-Identifier: GPL-2.0

//! A QEMU that is understood.

use std::marker::PhantomData;
use std::sync::OnceLock;

use crate::ffi::Errp;
use crate::layout::{Layout, Refusal};
use crate::libc;
use crate::symbols::Symbols;

/// QEMU's functions and the layout of its structures: proof that both have been found and checked.
/// Threads may share it: functions that take the big lock either take something that only its
/// holder has, or are unsafe to call.
pub struct Qemu {
    pub(crate) symbols: Symbols,
    pub(crate) layout: Layout,
}

/// QEMU is being set up: its types are registered, it is not walking them, and no device exists
/// yet. Only the thread that sets it up, which holds the big lock, has this.
pub struct Setup(PhantomData<*mut ()>);

impl Setup {
    /// Says so.
    ///
    /// # Safety
    ///
    /// It is true as long as the result exists, or the process has none of QEMU's symbols.
    pub unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

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
    pub fn find(setup: &Setup) -> Result<&'static Self, Refusal> {
        QEMU.get_or_init(|| Self::look(setup))
            .as_ref()
            .map_err(Clone::clone)
    }

    fn look(setup: &Setup) -> Result<Self, Refusal> {
        // SAFETY: dlsym() finds QEMU's symbols in QEMU.
        let symbols = unsafe { Symbols::resolve(libc::symbol) };
        let symbols = symbols.map_err(|missing| {
            Refusal::new(format!(
                "this program does not export {}",
                missing.join(", ")
            ))
        })?;
        let layout = Layout::find(&symbols, setup)
            .map_err(|refusal| Refusal::new(format!("{}: {refusal}", version(&symbols))))?;
        Ok(Self { symbols, layout })
    }

    /// Prints an error on QEMU's standard error or monitor.
    pub(crate) fn report(&self, text: &str) {
        self.symbols.print(true, text);
    }

    /// Prints a warning on QEMU's standard error or monitor.
    pub(crate) fn warn(&self, text: &str) {
        self.symbols.print(false, text);
    }

    /// Names of optional functions that this QEMU lacks; what needs them is refused by the device
    /// that wants it.
    pub fn absent(&self) -> Vec<&'static str> {
        self.symbols.absent()
    }
}

/// "QEMU 11.1.3", as well as it is known.
fn version(symbols: &Symbols) -> String {
    match query_version(symbols) {
        Some([major, minor, micro]) => format!("QEMU {major}.{minor}.{micro}"),
        None => "QEMU of unknown version".into(),
    }
}

fn query_version(symbols: &Symbols) -> Option<[i64; 3]> {
    let query = symbols.qmp_query_version?;
    // SAFETY: may be called at any time. The result is leaked, because nothing exported frees it.
    let info = unsafe { query(Errp::NONE.as_ptr()) };
    // SAFETY: null, or what it returned, which starts with a pointer.
    let triple = unsafe { info.as_ref() }?;
    // SAFETY: null, or the three numbers.
    unsafe { triple.as_ref() }.copied()
}
