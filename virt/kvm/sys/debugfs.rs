// SPDX-License-Identifier: GPL-2.0

//! The file `coalesced_io` in a VM's folder of debugfs.

use crate::sys::list::c::siov_helper_kvm_debugfs;
use crate::sys::list::RawVm;
use crate::sys::slots::{Slots, Vm};
use crate::sys::CoalescedIo;
use kernel::ffi::{c_int, c_void};
use kernel::fmt;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use linux::abi::Object;
use linux::bindings;

const NAME: &kernel::str::CStr = c"coalesced_io";

mod c {
    use kernel::ffi::c_void;
    use kernel::str::CStr;
    use linux::bindings;

    // SAFETY: An error in place of a folder makes these do nothing. What the operations are called with is
    // `data`, and `File` says what that has to be.
    linux::c_functions!(unsafe {
        pub(super) fn debugfs_create_file_full(
            name: &CStr,
            mode: u16,
            folder: *mut bindings::dentry,
            data: *mut c_void,
            aux: *const c_void,
            operations: *const bindings::file_operations,
        ) -> *mut bindings::dentry;
        pub(super) fn debugfs_lookup_and_remove(name: &CStr, folder: *mut bindings::dentry);
    });
}

/// Makes the file of a VM that is initialised for `T`. KVM removes the folder, and waits for readers, before
/// anything of the VM goes. Like all of debugfs it is a help that may be missing, so nobody is told of
/// failure.
pub(crate) fn create<T: CoalescedIo>(vm: &RawVm) {
    c::debugfs_create_file_full(
        NAME,
        0o400,
        siov_helper_kvm_debugfs(vm),
        vm.as_raw().cast(),
        core::ptr::null(),
        File::<T>::OPERATIONS,
    );
}

/// Removes the file, if it is there, and waits for its readers.
pub(crate) fn remove(vm: &RawVm) {
    c::debugfs_lookup_and_remove(NAME, siov_helper_kvm_debugfs(vm));
}

/// The functions of a file whose data is a VM that is initialised for `T`.
struct File<T>(core::marker::PhantomData<T>);

impl<T: CoalescedIo> File<T> {
    const OPERATIONS: &'static bindings::file_operations = &bindings::file_operations {
        owner: &raw mut bindings::__this_module,
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The VFS passes an inode and a file of ours; `show` gets what `create()` stored.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: Called for a file that `open` has opened, while debugfs holds the VM.
        let (seq, vm) = unsafe { (SeqFile::from_raw(seq), &*(*seq).private.cast::<Vm<T>>()) };
        let slots = vm.lock_slots();
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
