// SPDX-License-Identifier: GPL-2.0

//! A page of memory on which whoever touches it gets stuck, the kernel as well: userfaultfd(2) of
//! which nobody handles a fault.

use crate::ktap::Result;
use crate::poll;
use anyhow::{ensure, Context};
use nix::errno::Errno;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, FromRawFd};

const PAGE: usize = 4096;

/// Whoever is stuck; dropping it lets everybody go on.
pub struct StuckPage(File);

/// `linux/userfaultfd.h`.
mod c {
    /// `struct uffdio_api`.
    #[repr(C)]
    pub struct Api {
        pub api: u64,
        pub features: u64,
        pub ioctls: u64,
    }

    /// `struct uffdio_register`.
    #[repr(C)]
    pub struct Register {
        pub start: u64,
        pub len: u64,
        pub mode: u64,
        pub ioctls: u64,
    }

    nix::ioctl_readwrite!(uffdio_api, 0xaa, 0x3f, Api);
    nix::ioctl_readwrite!(uffdio_register, 0xaa, 0x00, Register);

    pub const UFFD_API: u64 = 0xaa;
    pub const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
}

impl StuckPage {
    /// Maps a page, which stays for ever.
    ///
    /// # Errors
    ///
    /// Those of userfaultfd(2) and mmap(2).
    pub fn new() -> Result<(Self, &'static mut [u8])> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: userfaultfd(2) takes flags alone.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = i32::try_from(Errno::result(fd).context("userfaultfd")?)?;
        // SAFETY: A descriptor that was just made for us.
        let faults = unsafe { File::from_raw_fd(fd) };
        // SAFETY: New memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        ensure!(start != libc::MAP_FAILED, "mmap: {}", Errno::last());
        let mut api = c::Api {
            api: c::UFFD_API,
            features: 0,
            ioctls: 0,
        };
        let mut register = c::Register {
            start: start as u64,
            len: PAGE as u64,
            mode: c::UFFDIO_REGISTER_MODE_MISSING,
            ioctls: 0,
        };
        // SAFETY: The structure is that of the kernel.
        unsafe { c::uffdio_api(faults.as_raw_fd(), &mut api) }.context("UFFDIO_API")?;
        // SAFETY: The structure is that of the kernel, and the page in it was just mapped.
        unsafe { c::uffdio_register(faults.as_raw_fd(), &mut register) }
            .context("UFFDIO_REGISTER")?;
        // SAFETY: The page is ours, and stays for ever.
        let page = unsafe { std::slice::from_raw_parts_mut(start.cast(), PAGE) };
        Ok((Self(faults), page))
    }

    /// Waits until somebody is stuck.
    ///
    /// # Errors
    ///
    /// When nobody is in time.
    pub fn wait_for_fault(&self) -> Result {
        poll::until_true("somebody who is stuck", || {
            // `struct uffd_msg`.
            match (&self.0).read(&mut [0; 32]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                result => Ok(result? != 0),
            }
        })
    }
}
