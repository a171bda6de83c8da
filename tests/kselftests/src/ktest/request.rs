// SPDX-License-Identifier: GPL-2.0

//! Requests to the module.

use crate::ktap::Result;
use anyhow::Context;
use nix::errno::Errno;
use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;

/// The type that `tests/modules/iommu_ktest.h` gives all requests.
const TYPE: u8 = 0xb7;

/// A request that takes a `T`. The size of that is part of the request's number, so the module
/// refuses one whose layout differs in size.
pub(super) struct Request<T> {
    number: libc::c_ulong,
    argument: PhantomData<fn(&mut T)>,
}

impl<T> Request<T> {
    /// `_IOW()`: the module reads the argument.
    ///
    /// # Safety
    ///
    /// The module reads the `T` that it is given for this request, and touches nothing else of this
    /// process.
    pub(super) const unsafe fn write(number: u8) -> Self {
        Self {
            number: nix::request_code_write!(TYPE, number, size_of::<T>()),
            argument: PhantomData,
        }
    }

    /// `_IOWR()`: the module reads the argument and writes to it.
    ///
    /// # Safety
    ///
    /// As [`Self::write`], and what the module writes is a `T`.
    pub(super) const unsafe fn read_write(number: u8) -> Self {
        Self {
            number: nix::request_code_readwrite!(TYPE, number, size_of::<T>()),
            argument: PhantomData,
        }
    }
}

/// The module's device: requests go to it alone.
#[derive(Debug)]
pub(super) struct Device(File);

impl Device {
    /// Takes over /dev/iommu_ktest.
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Makes a request; `what` says of which in an error.
    pub(super) fn call<T>(
        &self,
        request: Request<T>,
        argument: &mut T,
        what: impl FnOnce() -> String,
    ) -> Result {
        let argument = std::ptr::from_mut(argument);
        // SAFETY: The device is that of the module, which does with a `T` what the request says.
        let ret = unsafe { libc::ioctl(self.0.as_raw_fd(), request.number as _, argument) };
        Errno::result(ret).map(drop).with_context(what)
    }
}
