// SPDX-License-Identifier: GPL-2.0

//! The file `coalesced_io` in a VM's folder of debugfs.
//!
//! C headers: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)
//!
//! Locks: a reader takes `kvm->slots_lock` while debugfs keeps the file. So [`remove`], which waits
//! for readers, must be called without it.

use crate::sys::list::List;
use crate::sys::vm::Vm;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::object::Object;

const NAME: &CStr = c"coalesced_io";

const OPERATIONS: &bindings::file_operations = &bindings::file_operations {
    owner: &raw mut bindings::__this_module,
    open: Some(open_callback),
    read: Some(bindings::seq_read),
    llseek: Some(bindings::seq_lseek),
    release: Some(bindings::single_release),
    ..pin_init::zeroed()
};

/// Makes the file of a VM. KVM removes the folder, and waits for readers, before it frees anything
/// of the VM. Like all of debugfs the file may be missing, so an error is ignored.
pub(super) fn create(list: &List<'_>) {
    let vm = list.vm().as_raw();
    // SAFETY: The VM exists.
    let folder = unsafe { bindings::siov_helper_kvm_debugfs(vm) };
    let (data, aux) = (vm.cast(), core::ptr::null());
    // SAFETY: `folder` is the VM's, or an error, which makes this do nothing. The functions in
    // `OPERATIONS` are for files with such data: the VM is initialised, and exists as long as its
    // folder.
    unsafe {
        bindings::debugfs_create_file_full(NAME.as_char_ptr(), 0o400, folder, data, aux, OPERATIONS)
    };
}

/// Removes the file, if it is there, and waits for its readers.
pub(super) fn remove(vm: &Vm<'_>) {
    // SAFETY: The VM exists.
    let folder = unsafe { bindings::siov_helper_kvm_debugfs(vm.raw().as_raw()) };
    // SAFETY: As in `create`. The call does not hold `slots_lock`, as a `Zones` would have borrowed
    // `vm`.
    unsafe { bindings::debugfs_lookup_and_remove(NAME.as_char_ptr(), folder) };
}

linux::callbacks! {
    /// `file_operations::open`.
    ///
    /// # Safety
    ///
    /// For files that [`create`] made: the VFS calls this once for a file that is being opened.
    unsafe fn open_callback(
        inode: *mut bindings::inode => &Inode,
        file: *mut bindings::file => Opening<'_>,
    ) -> c_int = open;

    /// The function of `single_open()`.
    ///
    /// # Safety
    ///
    /// For files that [`open`] opened, while debugfs keeps the file from being removed.
    unsafe fn show_callback(
        seq: *mut bindings::seq_file => Shown<'_>,
        _position: *mut c_void => *mut c_void,
    ) -> c_int = show;
}

/// `struct inode` of a file that `create` made.
#[repr(transparent)]
struct Inode(Opaque<bindings::inode>);

// SAFETY: A transparent `Opaque`.
unsafe impl Object<bindings::inode> for Inode {}

/// `struct file`.
#[repr(transparent)]
struct File(Opaque<bindings::file>);

// SAFETY: A transparent `Opaque`.
unsafe impl Object<bindings::file> for File {}

/// A file of [`Inode`] that is being opened, and whose private data is not set yet.
struct Opening<'call>(&'call File);

impl<'call> FromC<'call, *mut bindings::file> for Opening<'call> {
    unsafe fn from_c(file: *mut bindings::file, call: &'call Call) -> Self {
        // SAFETY: It exists, as required of us.
        Self(unsafe { FromC::from_c(file, call) })
    }
}

fn open(inode: &Inode, file: Opening<'_>) -> c_int {
    // SAFETY: The inode exists, and the field does not change after debugfs has made it.
    let data = unsafe { (*inode.as_raw()).i_private };
    // SAFETY: The file is being opened, and `data` is what `show_callback` demands.
    unsafe { bindings::single_open(file.0.as_raw(), Some(show_callback), data) }
}

/// A file that `open` opened, in a call that fills its buffer: its data is a VM as [`Vm`] demands.
/// The module is kept by the file.
struct Shown<'call> {
    file: &'call SeqFile,
    vm: Vm<'call>,
}

impl<'call> FromC<'call, *mut bindings::seq_file> for Shown<'call> {
    unsafe fn from_c(seq: *mut bindings::seq_file, call: &'call Call) -> Self {
        // SAFETY: It exists, as required of us.
        let vm = unsafe { (*seq).private };
        Self {
            // SAFETY: It exists, and no other task uses it during the call.
            file: unsafe { SeqFile::from_raw(seq) },
            // SAFETY: What `create` stored, as required of us.
            vm: unsafe { FromC::from_c(vm.cast::<bindings::kvm>(), call) },
        }
    }
}

fn show(Shown { file, vm }: Shown<'_>, _position: *mut c_void) -> c_int {
    crate::show(vm, file);
    0
}
