// SPDX-License-Identifier: GPL-2.0

//! Events that the kernel sends to user space about its devices.

use crate::ktap::Result;
use anyhow::Context;
use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    bind, recv, setsockopt, socket, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol,
    SockType,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// The kernel's multicast group, as opposed to udev's.
const KERNEL: u32 = 1;

/// A listener, which hears what happens from now on.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn new() -> Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .context("a netlink socket")?;
        // For a few thousand events, which are not read before the call that causes them returns.
        setsockopt(&socket, RcvBufForce, &(8 << 20)).context("SO_RCVBUFFORCE")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL)).context("bind")?;
        Ok(Self(socket))
    }

    /// What has happened so far: for each event its variables, without the sequence number, in one
    /// line. The kernel sends an event before the call that causes it returns.
    ///
    /// # Errors
    ///
    /// Those of receiving, also when events were lost.
    pub fn heard(&self) -> Result<Vec<String>> {
        let mut events = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&buffer[..len]);
                    let words: Vec<_> = text
                        .split('\0')
                        .filter(|word| !word.is_empty() && !word.starts_with("SEQNUM="))
                        .collect();
                    events.push(words.join(" "));
                }
                Err(Errno::EAGAIN) => return Ok(events),
                Err(error) => return Err(error).context("receive"),
            }
        }
    }
}
