// SPDX-License-Identifier: GPL-2.0

//! Requests to a container as they are, and what came of them, as lines of text.

use anyhow::{ensure, Context};
use nix::errno::Errno;
use siov_kselftests::child::{locked_kib, pinned_pages};
use siov_kselftests::ktap::Result;
use siov_kselftests::pci::Function;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use vfio_bindings::bindings::vfio as uapi;

pub const PAGE: u64 = 4096;

const fn number(offset: u32) -> u32 {
    nix::request_code_none!(uapi::VFIO_TYPE, uapi::VFIO_BASE + offset) as u32
}

pub const CHECK_EXTENSION: u32 = number(1);
pub const SET_IOMMU: u32 = number(2);
const GROUP_SET_CONTAINER: u32 = number(4);
const GROUP_UNSET_CONTAINER: u32 = number(5);
const GROUP_GET_DEVICE_FD: u32 = number(6);
pub const GET_INFO: u32 = number(12);
pub const MAP_DMA: u32 = number(13);
pub const UNMAP_DMA: u32 = number(14);
pub const DIRTY_PAGES: u32 = number(17);

pub const MAP_READ: u32 = uapi::VFIO_DMA_MAP_FLAG_READ;
pub const MAP_WRITE: u32 = uapi::VFIO_DMA_MAP_FLAG_WRITE;
pub const MAP_VADDR: u32 = uapi::VFIO_DMA_MAP_FLAG_VADDR;
pub const UNMAP_DIRTY: u32 = uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
pub const UNMAP_ALL: u32 = uapi::VFIO_DMA_UNMAP_FLAG_ALL;
pub const UNMAP_VADDR: u32 = uapi::VFIO_DMA_UNMAP_FLAG_VADDR;

pub const TYPE1: u64 = uapi::VFIO_TYPE1_IOMMU as u64;
pub const TYPE1V2: u64 = uapi::VFIO_TYPE1v2_IOMMU as u64;

/// What a request returned: a number, or the name of an error.
pub type Answer = std::result::Result<i32, Errno>;

/// Makes a request.
///
/// # Safety
///
/// The kernel may do with `argument` what the request says: it is a number for it, or the address
/// of memory that it may read and write as far as it does, or an address where nothing is mapped.
pub unsafe fn ioctl(file: &File, request: u32, argument: u64) -> Answer {
    // SAFETY: As required of the caller.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), request as _, argument) })
}

/// Addresses that programs get wrong: nothing is ever mapped there.
pub const BAD_POINTERS: [u64; 4] = [0, 1, 0x7fff_ffff_f000, u64::MAX - 7];

pub fn show(answer: Answer) -> String {
    match answer {
        Ok(value) => value.to_string(),
        Err(errno) => format!("{errno:?}"),
    }
}

/// A device that can be put into a container.
#[derive(Clone, Debug)]
pub struct Node {
    group: u32,
    name: String,
}

impl Node {
    pub fn of_function(function: &Function) -> Result<Self> {
        function.bind("vfio-pci")?;
        Ok(Self {
            group: function.group().context("no group")?,
            name: function.address().to_owned(),
        })
    }

    /// Device `index` of vfio_ktest.
    pub fn emulated(index: usize) -> Result<Self> {
        let name = format!("vfio_ktest.{index}");
        let link = std::fs::read_link(format!("/sys/devices/faux/{name}/iommu_group"))?;
        let group = link.file_name().context("group")?.to_string_lossy();
        Ok(Self {
            group: group.parse()?,
            name,
        })
    }
}

/// An open group, and its device once that is open.
#[derive(Debug)]
pub struct Opened {
    group: File,
    name: String,
    pub device: Option<File>,
}

fn open(path: &str) -> Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| path.to_owned())
}

impl Opened {
    pub fn new(node: &Node) -> Result<Self> {
        Ok(Self {
            group: open(&format!("/dev/vfio/{}", node.group))?,
            name: node.name.clone(),
            device: None,
        })
    }

    pub fn join(&self, container: &File) -> Answer {
        let fd = container.as_raw_fd();
        let argument = std::ptr::from_ref(&fd) as u64;
        // SAFETY: The request reads the number of a descriptor.
        unsafe { ioctl(&self.group, GROUP_SET_CONTAINER, argument) }
    }

    pub fn group(&self) -> &File {
        &self.group
    }

    pub fn leave(&mut self) -> Answer {
        self.device = None;
        // SAFETY: The request takes no argument.
        unsafe { ioctl(&self.group, GROUP_UNSET_CONTAINER, 0) }
    }

    pub fn open_device(&mut self) -> Answer {
        let name = CString::new(self.name.as_str()).expect("no NUL");
        // SAFETY: The request reads a C string.
        let fd = unsafe { ioctl(&self.group, GROUP_GET_DEVICE_FD, name.as_ptr() as u64) }?;
        // SAFETY: A descriptor that was just made for us.
        self.device = Some(unsafe { File::from_raw_fd(fd) });
        Ok(0)
    }
}

/// A container, and the transcript of what happens to it.
#[derive(Debug)]
pub struct Session {
    pub container: File,
    pub opened: Vec<Opened>,
    pub lines: Vec<String>,
    /// Address and size of what is mapped.
    pub mapped: Vec<(u64, u64)>,
    /// A bitmap was handed out since tracking began.
    pub handed_out: bool,
}

/// Begins a line with a bitmap that the shipped driver may have set further bits in: it shifts a
/// mapping's bitmap in its place to hand it out, clears too few bits of it afterwards, and adds too
/// many of what is in the user's bitmap already.
pub const AGAIN: &str = "again: ";

impl Session {
    /// A container without groups.
    pub fn empty() -> Result<Self> {
        Ok(Self {
            container: open("/dev/vfio/vfio")?,
            opened: Vec::new(),
            lines: Vec::new(),
            mapped: Vec::new(),
            handed_out: false,
        })
    }

    /// A container of a kind with groups and their devices.
    pub fn with(nodes: &[&Node], kind: u64) -> Result<Self> {
        let mut session = Self::empty()?;
        for node in nodes {
            let opened = Opened::new(node)?;
            ensure!(
                opened.join(&session.container).is_ok(),
                "{} joins",
                node.name
            );
            session.opened.push(opened);
        }
        ensure!(session.set_iommu(kind).is_ok(), "VFIO_SET_IOMMU");
        for opened in &mut session.opened {
            ensure!(opened.open_device().is_ok(), "{} opens", opened.name);
        }
        Ok(session)
    }

    pub fn set_iommu(&self, kind: u64) -> Answer {
        // SAFETY: The argument is a number.
        unsafe { ioctl(&self.container, SET_IOMMU, kind) }
    }

    /// Makes a request with one of [`BAD_POINTERS`].
    pub fn with_bad_pointer(&self, request: u32, pointer: u64) -> Answer {
        assert!(BAD_POINTERS.contains(&pointer));
        // SAFETY: Nothing is mapped there.
        unsafe { ioctl(&self.container, request, pointer) }
    }

    pub fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Writes down what the process pays for, and what is pinned.
    pub fn account(&mut self) -> Result {
        let line = format!("  locked {} KiB, pinned {}", locked_kib()?, pinned_pages()?);
        self.note(line);
        Ok(())
    }

    pub fn map_raw(&mut self, argsz: u32, flags: u32, vaddr: u64, iova: u64, size: u64) -> Answer {
        let map = uapi::vfio_iommu_type1_dma_map {
            argsz,
            flags,
            vaddr,
            iova,
            size,
        };
        // SAFETY: The request reads the structure.
        unsafe { ioctl(&self.container, MAP_DMA, std::ptr::from_ref(&map) as u64) }
    }

    /// Maps, and writes it down; `base` is subtracted from the address in the transcript, which
    /// must not depend on where memory happens to be.
    pub fn map(&mut self, flags: u32, vaddr: u64, base: u64, iova: u64, size: u64) {
        let answer = self.map_raw(32, flags, vaddr, iova, size);
        if answer.is_ok() && flags & MAP_VADDR == 0 {
            self.mapped.push((iova, size));
        }
        let offset = vaddr.wrapping_sub(base);
        let line = format!(
            "map flags {flags:#x} memory+{offset:#x} iova {iova:#x} size {size:#x}: {}",
            show(answer)
        );
        self.note(line);
    }

    /// Unmaps; returns what the kernel wrote to `size`.
    pub fn unmap_raw(&mut self, argsz: u32, flags: u32, iova: u64, size: u64) -> (Answer, u64) {
        let mut scratch = [0u64; 2];
        let bitmap = (PAGE, 8, scratch.as_mut_ptr() as u64);
        // SAFETY: There is room for the eight bytes.
        unsafe { self.unmap_with_bitmap(argsz, flags, iova, size, bitmap) }
    }

    /// Unmaps, with a bitmap behind what every request has, whatever `argsz` says: its page size,
    /// its bytes and its address. Returns what the kernel wrote to `size`.
    ///
    /// # Safety
    ///
    /// At the address are as many bytes for the kernel to write, if it takes so many for `size`; or
    /// nothing is mapped there.
    pub unsafe fn unmap_with_bitmap(
        &mut self,
        argsz: u32,
        flags: u32,
        iova: u64,
        size: u64,
        (pgsize, bytes, data): (u64, u64, u64),
    ) -> (Answer, u64) {
        let mut words = [
            u64::from(argsz) | (u64::from(flags) << 32),
            iova,
            size,
            pgsize,
            bytes,
            data,
        ];
        // SAFETY: The request reads and writes the first three words, and reads the others; the
        // bitmap goes to `data`, as required of the caller.
        let answer = unsafe { ioctl(&self.container, UNMAP_DMA, words.as_mut_ptr() as u64) };
        // The kernel has written to what has been exposed as a number.
        (answer, words[2])
    }

    pub fn unmap(&mut self, flags: u32, iova: u64, size: u64) {
        let (answer, done) = self.unmap_raw(24, flags, iova, size);
        if answer.is_ok() && flags & UNMAP_VADDR == 0 {
            let size = if flags & UNMAP_ALL != 0 {
                u64::MAX
            } else {
                size
            };
            self.forget(iova, size);
        }
        let line = format!(
            "unmap flags {flags:#x} iova {iova:#x} size {size:#x}: {}, {done:#x}",
            show(answer)
        );
        self.note(line);
    }

    fn forget(&mut self, iova: u64, size: u64) {
        let within = |(first, _): &(u64, u64)| *first >= iova && *first - iova < size;
        self.mapped.retain(|mapping| !within(mapping));
    }

    /// A bit for each page from `iova` on that is mapped, and in the range.
    fn mapped_pages(&self, iova: u64, size: u64, words: usize) -> Vec<u64> {
        let is_mapped = |page: u64| {
            let inside = |(first, size): &(u64, u64)| page >= *first && page - first < *size;
            self.mapped.iter().any(inside)
        };
        let mut bits = vec![0u64; words];
        for bit in (0..words * 64).take_while(|bit| (*bit as u64) < size / PAGE) {
            let page = iova.checked_add(bit as u64 * PAGE);
            bits[bit / 64] |= u64::from(page.is_some_and(is_mapped)) << (bit % 64);
        }
        bits
    }

    /// `words` words of bitmap for a range, filled with `fill` before; also by unmapping. Written
    /// down are the bits of pages that are mapped: on others the shipped driver leaves what it has
    /// shifted out of earlier bitmaps.
    pub fn bitmap(&mut self, unmap: bool, iova: u64, size: u64, words: usize, fill: u64) {
        let mut bits = vec![fill; words + 2];
        let data = bits.as_mut_ptr() as u64;
        let bytes = words as u64 * 8;
        let pages = self.mapped_pages(iova, size, words + 2);
        let answer = if unmap {
            let bitmap = (PAGE, bytes, data);
            // SAFETY: There are so many bytes.
            unsafe { self.unmap_with_bitmap(48, UNMAP_DIRTY, iova, size, bitmap) }.0
        } else {
            // SAFETY: There are so many bytes.
            unsafe { self.get_bitmap_raw(48, iova, size, (PAGE, bytes, data)) }
        };
        let seen: Vec<u64> = bits
            .iter()
            .zip(pages)
            .map(|(seen, mapped)| seen & mapped)
            .collect();
        if unmap && answer.is_ok() {
            self.forget(iova, size);
        }
        let what = if unmap { "unmap with bitmap" } else { "bitmap" };
        let again = if self.handed_out { AGAIN } else { "" };
        self.handed_out |= !matches!(answer, Err(Errno::EINVAL));
        let line = format!(
            "{again}{what} iova {iova:#x} size {size:#x}: {}, {seen:x?}",
            show(answer)
        );
        self.note(line);
    }

    /// Asks for the dirty pages of a range, for a bitmap of this page size, bytes and address.
    ///
    /// # Safety
    ///
    /// As for [`Self::unmap_with_bitmap`].
    pub unsafe fn get_bitmap_raw(
        &mut self,
        argsz: u32,
        iova: u64,
        size: u64,
        (pgsize, bytes, data): (u64, u64, u64),
    ) -> Answer {
        let flags = uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
        let words = [
            u64::from(argsz) | (u64::from(flags) << 32),
            iova,
            size,
            pgsize,
            bytes,
            data,
        ];
        // SAFETY: The request reads the words; the bitmap goes to `data`, as required of the
        // caller.
        unsafe { ioctl(&self.container, DIRTY_PAGES, words.as_ptr() as u64) }
    }

    pub fn dirty(&mut self, argsz: u32, flags: u32) {
        let words = [u64::from(argsz) | (u64::from(flags) << 32)];
        // SAFETY: The request reads the word.
        let answer = unsafe { ioctl(&self.container, DIRTY_PAGES, words.as_ptr() as u64) };
        if flags == uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP && answer.is_ok() {
            self.handed_out = false;
        }
        self.note(format!(
            "dirty argsz {argsz} flags {flags:#x}: {}",
            show(answer)
        ));
    }

    /// What VFIO_IOMMU_GET_INFO says with `argsz` bytes of room, byte by byte.
    pub fn info(&mut self, argsz: u32) {
        let mut bytes = vec![0xa5u8; 1024];
        bytes[..4].copy_from_slice(&argsz.to_ne_bytes());
        // SAFETY: The request writes to the bytes, of which there are more than it ever has to say.
        let answer = unsafe { ioctl(&self.container, GET_INFO, bytes.as_mut_ptr() as u64) };
        let seen = std::hint::black_box(bytes);
        let used = seen
            .iter()
            .rposition(|byte| *byte != 0xa5)
            .map_or(0, |last| last + 1);
        self.note(format!(
            "info argsz {argsz}: {} {:02x?}",
            show(answer),
            &seen[..used]
        ));
    }

    pub fn extension(&mut self, extension: u64) {
        // SAFETY: The argument is a number.
        let answer = unsafe { ioctl(&self.container, CHECK_EXTENSION, extension) };
        self.note(format!("extension {extension}: {}", show(answer)));
    }
}
