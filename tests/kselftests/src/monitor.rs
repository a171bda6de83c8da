// SPDX-License-Identifier: GPL-2.0

//! QEMU's monitor (QMP) on the guest's third serial port (`monitor = yes` of a suite): a guest that
//! plugs its own devices.

use crate::ktap::Result;
use crate::poll;
use anyhow::{bail, Context};
use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg};
use serde_json::{json, Value};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

const PORT: &str = "/dev/ttyS2";

/// A session with the monitor.
#[derive(Debug)]
pub struct Monitor {
    port: File,
    unread: Vec<u8>,
    requests: u64,
    /// Devices that have gone since they were last waited for.
    deleted: Vec<String>,
}

impl Monitor {
    /// Begins a session.
    ///
    /// # Errors
    ///
    /// Those of the port, or when nobody answers.
    pub fn open() -> Result<Self> {
        let mut options = File::options();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let port = options.open(PORT).context(PORT)?;
        let mut settings = tcgetattr(&port).context(PORT)?;
        cfmakeraw(&mut settings);
        tcsetattr(&port, SetArg::TCSANOW, &settings).context(PORT)?;
        let mut monitor = Self {
            port,
            unread: Vec::new(),
            requests: 0,
            deleted: Vec::new(),
        };
        // While it was not raw yet, the port echoed the greeting. A byte that is no JSON resets the
        // monitor's parser.
        monitor.send(b"\xff\n")?;
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Plugs a device: the arguments are those of `-device`.
    ///
    /// # Errors
    ///
    /// QEMU's.
    pub fn plug(&mut self, arguments: Value) -> Result {
        self.execute("device_add", arguments).map(drop)
    }

    /// Asks the guest to give a device up. It goes when the guest's drivers have let go of it.
    ///
    /// # Errors
    ///
    /// QEMU's.
    pub fn unplug(&mut self, id: &str) -> Result {
        self.execute("device_del", json!({ "id": id })).map(drop)
    }

    /// Waits until QEMU has no device `id` any more, so that another can have the name.
    ///
    /// # Errors
    ///
    /// When it stays.
    pub fn wait_deleted(&mut self, id: &str) -> Result {
        while !self.deleted.iter().any(|deleted| deleted == id) {
            self.message(&format!("{id} is deleted"))?;
        }
        self.deleted.retain(|deleted| deleted != id);
        Ok(())
    }

    /// Has any command executed: what it returns.
    ///
    /// # Errors
    ///
    /// QEMU's, with its description.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.requests += 1;
        let request = json!({ "execute": command, "arguments": arguments, "id": self.requests });
        self.send(format!("{request}\n").as_bytes())?;
        loop {
            let answer = self.message(&format!("the monitor answers {command}"))?;
            if answer["id"] != self.requests {
                continue;
            }
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            return Ok(answer["return"].clone());
        }
    }

    /// The next message; notes which devices have gone.
    fn message(&mut self, awaited: &str) -> Result<Value> {
        loop {
            let line = self.line(awaited)?;
            // The port drops what was sent before it was opened, the greeting's first bytes among
            // it.
            let Ok(message) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            if message["event"] == "DEVICE_DELETED" {
                let id = message["data"]["device"].as_str();
                self.deleted.extend(id.map(str::to_owned));
            }
            return Ok(message);
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result {
        poll::until("the monitor takes a request", || {
            while !bytes.is_empty() {
                match self.port.write(bytes) {
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                    Err(error) => return Err(error).context(PORT),
                }
            }
            Ok(Some(()))
        })
    }

    fn line(&mut self, awaited: &str) -> Result<Vec<u8>> {
        let mut buffer = [0; 512];
        poll::until(awaited, || loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.unread.drain(..=end).collect()));
            }
            match self.port.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.unread.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error).context(PORT),
            }
        })
    }
}
