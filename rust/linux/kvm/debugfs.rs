// SPDX-License-Identifier: GPL-2.0

//! The file `coalesced_io` in a VM's folder of debugfs.

use crate::slots::{Slots, Vm};
use crate::CoalescedIo;
use kernel::ffi::{c_int, c_void};
use kernel::fmt;
use kernel::seq_file::SeqFile;
use kernel::{seq_print, str::CStrExt as _};
use linux::bindings;

const NAME: &kernel::str::CStr = c"coalesced_io";

/// Makes the file. Like all of debugfs it is a help that may be missing, so nobody is told of failure.
///
/// # Safety
///
/// `kvm` is initialised for `T`; KVM removes its folder in debugfs, and waits for readers, before
/// anything of the VM goes.
pub(crate) unsafe fn create<T: CoalescedIo>(kvm: *mut bindings::kvm) {
    // SAFETY: As required of us; an error in place of a folder makes the call do nothing.
    unsafe {
        bindings::debugfs_create_file_full(
            NAME.as_char_ptr(),
            0o400,
            bindings::siov_helper_kvm_debugfs(kvm),
            kvm.cast(),
            core::ptr::null(),
            &File::<T>::OPERATIONS,
        )
    };
}

/// Removes the file, if it is there, and waits for its readers.
///
/// # Safety
///
/// `kvm` is in use.
pub(crate) unsafe fn remove(kvm: *mut bindings::kvm) {
    // SAFETY: As required of us.
    unsafe {
        bindings::debugfs_lookup_and_remove(
            NAME.as_char_ptr(),
            bindings::siov_helper_kvm_debugfs(kvm),
        )
    };
}

struct File<T>(core::marker::PhantomData<T>);

impl<T: CoalescedIo> File<T> {
    const OPERATIONS: bindings::file_operations = bindings::file_operations {
        owner: &raw mut bindings::__this_module,
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS for the file that [`create`] made.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: Both are valid; `show` is called with what `create()` stored.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Called for a file that [`Self::open`] has opened, while debugfs holds the VM.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: As required of our caller.
        let vm = unsafe { Vm::<T>::from_raw((*seq).private.cast()) };
        let slots = vm.lock_slots();
        // SAFETY: As required of our caller.
        let seq = unsafe { SeqFile::from_raw(seq) };
        seq_print!(seq, "{}", Contents(&slots));
        0
    }
}

struct Contents<'a, 'b, T: CoalescedIo>(&'a Slots<'b, T>);

impl<T: CoalescedIo> fmt::Display for Contents<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::show(self.0, f)
    }
}
