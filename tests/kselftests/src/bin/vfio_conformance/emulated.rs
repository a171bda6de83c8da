// SPDX-License-Identifier: GPL-2.0

//! What the driver of an emulated device gets from the container, through vfio_ktest
//! (`tests/modules/vfio_ktest.h`).

use crate::raw::{ioctl, show, Answer, Session, PAGE};

#[repr(C)]
#[derive(Default)]
struct Request {
    iova: u64,
    count: u64,
    data: u64,
    flags: u32,
    pad: u32,
}

const fn number(offset: u32) -> u32 {
    nix::request_code_none!(b';', 200 + offset) as u32
}

impl Session {
    fn ask(&self, device: usize, request: u32, argument: &Request) -> Answer {
        let file = self.opened.get(device).and_then(|o| o.device.as_ref());
        let file = file.ok_or(nix::errno::Errno::ENODEV)?;
        let argument = std::ptr::from_ref(argument) as u64;
        // SAFETY: Each request reads the structure. Where it uses the buffer in it, the callers
        // below have made one of the size that they ask for.
        unsafe { ioctl(file, number(request), argument) }
    }

    /// Pins pages, and writes down the first word of each.
    pub fn pin(&mut self, device: usize, iova: u64, count: u64, prot: u32) {
        let words = vec![0u64; count as usize];
        let request = Request {
            iova,
            count,
            data: words.as_ptr() as u64,
            flags: prot,
            pad: 0,
        };
        let answer = self.ask(device, 0, &request);
        let words = std::hint::black_box(words);
        self.note(format!(
            "pin device {device} iova {iova:#x} pages {count} prot {prot}: {} {words:x?}",
            show(answer)
        ));
    }

    pub fn unpin(&mut self, device: usize, iova: u64, count: u64) {
        let request = Request {
            iova,
            count,
            ..Default::default()
        };
        let answer = self.ask(device, 1, &request);
        self.note(format!(
            "unpin device {device} iova {iova:#x} pages {count}: {}",
            show(answer)
        ));
    }

    /// Has the driver copy `bytes` bytes, each `value` when it writes.
    pub fn rw(&mut self, device: usize, iova: u64, bytes: u64, value: Option<u8>) {
        let data = vec![value.unwrap_or(0xee); bytes as usize];
        let request = Request {
            iova,
            count: bytes,
            data: data.as_ptr() as u64,
            flags: u32::from(value.is_some()),
            pad: 0,
        };
        let answer = self.ask(device, 2, &request);
        let data = std::hint::black_box(data);
        let sample: Vec<u8> = data.iter().step_by(PAGE as usize / 4).copied().collect();
        self.note(format!(
            "rw device {device} iova {iova:#x} bytes {bytes:#x} {value:x?}: {} {sample:x?}",
            show(answer)
        ));
    }

    /// How often the driver was told of an unmapping.
    pub fn notified(&mut self, device: usize) {
        let answer = self.ask(device, 3, &Request::default());
        self.note(format!("device {device} notified: {}", show(answer)));
    }

    /// Has the driver ignore notifications.
    pub fn ignore(&mut self, device: usize, count: u64) {
        let request = Request {
            count,
            ..Default::default()
        };
        let answer = self.ask(device, 4, &request);
        self.note(format!("device {device} ignores {count}: {}", show(answer)));
    }
}
