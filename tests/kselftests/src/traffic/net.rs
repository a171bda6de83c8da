// SPDX-License-Identifier: GPL-2.0

//! Two network cards on one wire: one of them is moved to a network namespace of its own, so that
//! the kernel cannot take a short cut, and TCP connections run between the two.

use crate::ktap::Result;
use crate::pattern::{self, Words};
use crate::pci::Function;
use crate::traffic::disk::pin_to;
use crate::{poll, sysfs};
use anyhow::Context;
use nix::sched::{unshare, CloneFlags};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const PORT: u16 = 7000;

/// The longest piece that is written at once.
const PIECE: usize = 128 << 10;

/// No byte for so long means that data has been lost for good.
const SILENCE: Duration = Duration::from_secs(20);

/// Name of the network interface of `function`.
///
/// # Errors
///
/// When it does not appear in this namespace.
pub fn interface(function: &Function) -> Result<String> {
    poll::until(&format!("a network interface of {function}"), || {
        let Ok(mut names) = fs::read_dir(function.path("net")) else {
            return Ok(None);
        };
        let name = names.next().transpose()?;
        Ok(name.map(|name| name.file_name().to_string_lossy().into_owned()))
    })
}

fn ip(arguments: &str) -> Result {
    let words = arguments.split_whitespace();
    let output = Command::new("ip").args(words).output().context("ip")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("ip {arguments}: {}", words.trim());
    }
    Ok(())
}

fn bring_up(interface: &str, address: Ipv4Addr) -> Result {
    ip(&format!("addr add {address}/24 dev {interface}"))?;
    ip(&format!("link set {interface} up"))
}

/// Sends pseudo-random data both ways between two cards, over a connection for each of `streams`
/// processors, until `duration` is over. Returns the number of bytes that arrived and were
/// verified.
///
/// # Errors
///
/// The first byte that is not what was sent, or a connection that breaks or falls silent.
pub fn exercise(
    near: &Function,
    far: &Function,
    streams: usize,
    duration: Duration,
    seed: u64,
) -> Result<u64> {
    let (near_name, far_name) = (interface(near)?, interface(far)?);
    let total = thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let far_name = &far_name;
        let far_side = scope.spawn(move || -> Result<u64> {
            unshare(CloneFlags::CLONE_NEWNET).context("new network namespace")?;
            tell.send(nix::unistd::gettid())?;
            may_go.recv().context("the near side gave up")?;
            bring_up(far_name, FAR)?;
            let listener = TcpListener::bind((FAR, PORT))?;
            tell.send(nix::unistd::gettid())?;
            listener.set_nonblocking(true)?;
            let accept = || {
                poll::until("the near side connects", || match listener.accept() {
                    Ok((stream, _)) => stream
                        .set_nonblocking(false)
                        .map(|()| Some(stream))
                        .map_err(Into::into),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                    Err(error) => Err(error.into()),
                })
            };
            exchange_all(accept, streams, duration, [!seed, seed])
        });
        let near_side = || -> Result<u64> {
            let wait = |what| told.recv_timeout(poll::patience()).context(what);
            let thread = wait("the far side has no namespace")?;
            ip(&format!("link set {far_name} netns {thread}"))?;
            go.send(())?;
            wait("the far side does not listen")?;
            bring_up(&near_name, NEAR)?;
            poll::until_true(&format!("{near_name} has a link"), || {
                Ok(sysfs::read(format!("/sys/class/net/{near_name}/carrier"))? == "1")
            })?;
            let to = SocketAddr::from((FAR, PORT));
            let connect = || Ok(TcpStream::connect_timeout(&to, SILENCE)?);
            exchange_all(connect, streams, duration, [seed, !seed])
        };
        let near_result = near_side();
        drop(go);
        let far_result = far_side
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        let far_result = far_result.context("far side");
        Ok::<u64, anyhow::Error>(near_result.context("near side")? + far_result?)
    })?;
    ip(&format!("addr flush dev {near_name}"))?;
    ip(&format!("link set {near_name} down"))?;
    // The namespace goes with its last thread, and the card comes back.
    interface(far)?;
    Ok(total)
}

fn exchange_all(
    mut connection: impl FnMut() -> Result<TcpStream>,
    streams: usize,
    duration: Duration,
    [out, back]: [u64; 2],
) -> Result<u64> {
    let connections = (0..streams)
        .map(|_| connection())
        .collect::<Result<Vec<_>>>()?;
    let end = Instant::now() + duration;
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for (index, stream) in connections.iter().enumerate() {
            let salt = (index as u64) << 32;
            let _: &TcpStream = stream;
            let sender = scope.spawn(move || {
                pin_to(index)?;
                send(stream, end, out ^ salt).map(|()| 0)
            });
            let receiver = scope.spawn(move || {
                pin_to(index)?;
                receive(stream, back ^ salt)
            });
            workers.extend([sender, receiver]);
        }
        let mut total = 0;
        for worker in workers {
            total += worker
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(total)
    })
}

fn send(mut stream: &TcpStream, end: Instant, seed: u64) -> Result {
    stream.set_write_timeout(Some(SILENCE))?;
    let mut lengths = Words::new(!seed);
    let mut data = Words::new(seed);
    loop {
        let len = 8 * (1 + lengths.below(PIECE as u64 / 8) as usize);
        let piece: Vec<u8> = (0..len / 8)
            .flat_map(|_| data.next_word().to_le_bytes())
            .collect();
        stream.write_all(&piece).context("send")?;
        if Instant::now() >= end {
            return Ok(stream.shutdown(Shutdown::Write)?);
        }
    }
}

fn receive(mut stream: &TcpStream, seed: u64) -> Result<u64> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut data = Words::new(seed);
    let mut buffer = vec![0; PIECE];
    let mut expected = Vec::new();
    let mut total = 0;
    loop {
        let len = stream.read(&mut buffer).context("receive")?;
        if len == 0 {
            anyhow::ensure!(expected.is_empty(), "the stream ends within a word");
            anyhow::ensure!(total != 0, "nothing was received");
            return Ok(total);
        }
        while expected.len() < len {
            expected.extend(data.next_word().to_le_bytes());
        }
        let what = format!("TCP stream after {total:#x} bytes");
        pattern::expect_equal(&what, &buffer[..len], &expected[..len])?;
        expected.drain(..len);
        total += len as u64;
    }
}
