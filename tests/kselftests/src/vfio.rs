// SPDX-License-Identifier: GPL-2.0

//! VFIO containers, groups and devices over the stock type1 driver (the kernel's
//! `include/uapi/linux/vfio.h`).

use crate::kernel_module;
use crate::ktap::Result;
use crate::mdev::Mdev;
use crate::mmio::Mapping;
use crate::pci::Function;
use anyhow::Context;
use std::ffi::CString;
use std::fs::File;
use std::mem::{offset_of, size_of};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use vfio_bindings::bindings::vfio as uapi;

/// Numbers of the requests that vfio.h defines as `_IO(VFIO_TYPE, VFIO_BASE + n)`.
mod request {
    use nix::request_code_none;
    use vfio_bindings::bindings::vfio::{VFIO_BASE, VFIO_TYPE};

    const fn number(offset: u32) -> libc::c_ulong {
        request_code_none!(VFIO_TYPE, VFIO_BASE + offset) as libc::c_ulong
    }

    pub const SET_IOMMU: libc::c_ulong = number(2);
    pub const GROUP_SET_CONTAINER: libc::c_ulong = number(4);
    pub const GROUP_GET_DEVICE_FD: libc::c_ulong = number(6);
    pub const DEVICE_GET_INFO: libc::c_ulong = number(7);
    pub const DEVICE_GET_REGION_INFO: libc::c_ulong = number(8);
    pub const DEVICE_GET_IRQ_INFO: libc::c_ulong = number(9);
    pub const DEVICE_SET_IRQS: libc::c_ulong = number(10);
    pub const DEVICE_RESET: libc::c_ulong = number(11);
    pub const IOMMU_GET_INFO: libc::c_ulong = number(12);
    pub const IOMMU_MAP_DMA: libc::c_ulong = number(13);
    pub const IOMMU_UNMAP_DMA: libc::c_ulong = number(14);
    pub const IOMMU_DIRTY_PAGES: libc::c_ulong = number(17);

    /// Of `tests/modules/vfio_ktest.h`.
    pub const KTEST_PIN: libc::c_ulong = request_code_none!(VFIO_TYPE, 200) as libc::c_ulong;
}

/// What a mapping permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// The device reads.
    Read,
    /// The device writes.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    fn flags(self) -> u32 {
        match self {
            Self::Read => uapi::VFIO_DMA_MAP_FLAG_READ,
            Self::Write => uapi::VFIO_DMA_MAP_FLAG_WRITE,
            Self::ReadWrite => uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE,
        }
    }
}

/// An address space for devices.
#[derive(Debug)]
pub struct Container {
    file: File,
    has_iommu: bool,
    groups: Vec<(u32, File)>,
}

/// Size of a structure as `argsz` wants it.
const fn argsz<T>() -> u32 {
    size_of::<T>() as u32
}

fn ioctl<T>(file: &File, request: libc::c_ulong, argument: &mut T, what: &str) -> Result<i32> {
    // SAFETY: Each request of this file gets the structure that vfio.h has for it, with `argsz` set
    // to its size.
    let ret = unsafe { libc::ioctl(file.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    nix::errno::Errno::result(ret).with_context(|| what.to_owned())
}

impl Container {
    /// An empty container. Loads the stock drivers, with interrupts that nobody isolates permitted:
    /// there is no interrupt remapping.
    ///
    /// # Errors
    ///
    /// Those of the modules and of opening.
    pub fn new() -> Result<Self> {
        kernel_module::modprobe("vfio_iommu_type1", "allow_unsafe_interrupts=1")?;
        kernel_module::modprobe("vfio-pci", "")?;
        let file = open("/dev/vfio/vfio")?;
        Ok(Self {
            file,
            has_iommu: false,
            groups: Vec::new(),
        })
    }

    /// A container that this process got from the one before it, whose groups are those of devices
    /// that came with it.
    pub fn handed_down(file: OwnedFd) -> Self {
        Self {
            file: file.into(),
            has_iommu: true,
            groups: Vec::new(),
        }
    }

    /// Hands `function`, which the driver vfio-pci gets, over to this container.
    ///
    /// # Errors
    ///
    /// Those of sysfs and VFIO.
    pub fn add(&mut self, function: &Function) -> Result<Device> {
        function.bind("vfio-pci")?;
        let number = function
            .group()
            .with_context(|| format!("{function} has no group"))?;
        self.open(number, function.address())
    }

    /// Opens a mediated device in this container.
    ///
    /// # Errors
    ///
    /// Those of sysfs and VFIO.
    pub fn add_mdev(&mut self, mdev: &Mdev) -> Result<Device> {
        self.open(mdev.group()?, mdev.uuid())
    }

    /// Has a group leave, whose devices are closed. With the last one the container loses its
    /// driver.
    pub fn leave(&mut self, number: u32) {
        self.groups.retain(|(known, _)| *known != number);
        self.has_iommu &= !self.groups.is_empty();
    }

    /// Claims the group of `function`, which has the driver vfio-pci, and no more: in a container
    /// without a driver nothing translates it.
    ///
    /// # Errors
    ///
    /// Those of sysfs and VFIO.
    pub fn claim(&mut self, function: &Function) -> Result {
        let number = function
            .group()
            .with_context(|| format!("{function} has no group"))?;
        self.join(number)
    }

    /// Puts a group into this container.
    fn join(&mut self, number: u32) -> Result {
        if !self.groups.iter().any(|(known, _)| *known == number) {
            let group = open(&format!("/dev/vfio/{number}"))?;
            let mut container = self.file.as_raw_fd();
            ioctl(
                &group,
                request::GROUP_SET_CONTAINER,
                &mut container,
                "VFIO_GROUP_SET_CONTAINER",
            )?;
            self.groups.push((number, group));
        }
        Ok(())
    }

    /// Puts a group into this container, and opens its device `name`.
    fn open(&mut self, number: u32, name: &str) -> Result<Device> {
        self.join(number)?;
        if !self.has_iommu {
            // SAFETY: The argument is a number.
            let ret = unsafe {
                libc::ioctl(
                    self.file.as_raw_fd(),
                    request::SET_IOMMU as _,
                    libc::c_ulong::from(uapi::VFIO_TYPE1v2_IOMMU),
                )
            };
            nix::errno::Errno::result(ret).context("VFIO_SET_IOMMU")?;
            self.has_iommu = true;
        }
        let group = self.groups.iter().find(|(known, _)| *known == number);
        let (_, group) = group.context("group vanished")?;
        let name = CString::new(name)?;
        // SAFETY: The argument is a C string.
        let fd = unsafe {
            libc::ioctl(
                group.as_raw_fd(),
                request::GROUP_GET_DEVICE_FD as _,
                name.as_ptr(),
            )
        };
        nix::errno::Errno::result(fd).context("VFIO_GROUP_GET_DEVICE_FD")?;
        // SAFETY: A descriptor that was just made for us.
        let file = unsafe { File::from_raw_fd(fd) };
        Ok(Device { file })
    }

    /// Maps the memory of this process from `address` on to `iova`.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_MAP_DMA.
    pub fn map_address(&self, iova: u64, address: u64, len: usize, access: Access) -> Result {
        let mut map = uapi::vfio_iommu_type1_dma_map {
            argsz: argsz::<uapi::vfio_iommu_type1_dma_map>(),
            flags: access.flags(),
            vaddr: address,
            iova,
            size: len as u64,
        };
        let what = format!("VFIO_IOMMU_MAP_DMA of {len:#x} bytes at {iova:#x}");
        ioctl(&self.file, request::IOMMU_MAP_DMA, &mut map, &what)?;
        Ok(())
    }

    /// Maps `len` bytes from `offset` of `memory` on to `iova`.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_MAP_DMA.
    pub fn map(
        &self,
        iova: u64,
        memory: &Mapping,
        offset: usize,
        len: usize,
        access: Access,
    ) -> Result {
        anyhow::ensure!(offset + len <= memory.len(), "more than there is");
        self.map_address(iova, memory.address() + offset as u64, len, access)
    }

    /// Invalidates the process address of the mapping of `len` bytes at `iova`.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_UNMAP_DMA.
    pub fn invalidate_address(&self, iova: u64, len: usize) -> Result {
        let mut unmap = uapi::vfio_iommu_type1_dma_unmap {
            argsz: argsz::<uapi::vfio_iommu_type1_dma_unmap>(),
            flags: uapi::VFIO_DMA_UNMAP_FLAG_VADDR,
            iova,
            size: len as u64,
            ..Default::default()
        };
        let what = "VFIO_IOMMU_UNMAP_DMA of an address";
        ioctl(&self.file, request::IOMMU_UNMAP_DMA, &mut unmap, what)?;
        Ok(())
    }

    /// Gives the mapping of all of `memory` at `iova` a process address again.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_MAP_DMA.
    pub fn update_address(&self, iova: u64, memory: &Mapping) -> Result {
        let mut map = uapi::vfio_iommu_type1_dma_map {
            argsz: argsz::<uapi::vfio_iommu_type1_dma_map>(),
            flags: uapi::VFIO_DMA_MAP_FLAG_VADDR,
            vaddr: memory.address(),
            iova,
            size: memory.len() as u64,
        };
        let what = "VFIO_IOMMU_MAP_DMA of an address";
        ioctl(&self.file, request::IOMMU_MAP_DMA, &mut map, what)?;
        Ok(())
    }

    /// As [`Self::map_address`], of what the structure in `place` says.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_MAP_DMA.
    pub fn map_as_in(&self, place: &mut [u8]) -> Result {
        let len = size_of::<uapi::vfio_iommu_type1_dma_map>();
        let place = place.get_mut(..len).context("too little room")?;
        let (fd, place) = (self.file.as_raw_fd(), place.as_mut_ptr());
        // SAFETY: There are the bytes of the structure, which are only read.
        let ret = unsafe { libc::ioctl(fd, request::IOMMU_MAP_DMA as _, place) };
        nix::errno::Errno::result(ret).context("VFIO_IOMMU_MAP_DMA")?;
        Ok(())
    }

    /// Ends the mappings in a range, which must be whole ones.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_UNMAP_DMA, or when it has not unmapped `len` bytes.
    pub fn unmap(&self, iova: u64, len: usize) -> Result {
        let mut unmap = uapi::vfio_iommu_type1_dma_unmap {
            argsz: argsz::<uapi::vfio_iommu_type1_dma_unmap>(),
            iova,
            size: len as u64,
            ..Default::default()
        };
        let what = format!("VFIO_IOMMU_UNMAP_DMA of {len:#x} bytes at {iova:#x}");
        ioctl(&self.file, request::IOMMU_UNMAP_DMA, &mut unmap, &what)?;
        let done = unmap.size;
        anyhow::ensure!(done == len as u64, "{what} unmapped {done:#x}");
        Ok(())
    }

    /// Begins or ends to track which pages are written to.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_DIRTY_PAGES.
    pub fn track(&self, on: bool) -> Result {
        let mut dirty = uapi::vfio_iommu_type1_dirty_bitmap {
            argsz: argsz::<uapi::vfio_iommu_type1_dirty_bitmap>(),
            flags: if on {
                uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_START
            } else {
                uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
            },
            ..Default::default()
        };
        let what = format!("VFIO_IOMMU_DIRTY_PAGES, tracking {on}");
        ioctl(&self.file, request::IOMMU_DIRTY_PAGES, &mut dirty, &what)?;
        Ok(())
    }

    /// Which of `pages` pages from `iova` on, at most 64, may have been written to: a bit for each,
    /// the lowest for the first.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_DIRTY_PAGES.
    pub fn dirty_pages(&self, iova: u64, pages: usize) -> Result<u64> {
        anyhow::ensure!(pages <= 64, "{pages} pages in 64 bits");
        let mut bits = 0u64;
        let flags = uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
        // The structure, and that of the range.
        let mut words = [
            48 | (u64::from(flags) << 32),
            iova,
            (pages * crate::PAGE) as u64,
            crate::PAGE as u64,
            size_of_val(&bits) as u64,
            (&raw mut bits) as u64,
        ];
        let what = "VFIO_IOMMU_DIRTY_PAGES, the bitmap";
        ioctl(&self.file, request::IOMMU_DIRTY_PAGES, &mut words, what)?;
        Ok(std::hint::black_box(bits))
    }

    /// Ends all mappings.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_UNMAP_DMA.
    pub fn unmap_all(&self) -> Result {
        let mut unmap = uapi::vfio_iommu_type1_dma_unmap {
            argsz: argsz::<uapi::vfio_iommu_type1_dma_unmap>(),
            flags: uapi::VFIO_DMA_UNMAP_FLAG_ALL,
            ..Default::default()
        };
        let what = "VFIO_IOMMU_UNMAP_DMA of everything";
        ioctl(&self.file, request::IOMMU_UNMAP_DMA, &mut unmap, what)?;
        Ok(())
    }

    /// Page sizes, a bit for each, and the ranges of addresses that can be mapped.
    ///
    /// # Errors
    ///
    /// Those of VFIO_IOMMU_GET_INFO, or when it does not tell the ranges.
    pub fn info(&self) -> Result<(u64, Vec<RangeInclusive<u64>>)> {
        // Aligned as the structure is.
        let mut words = [0u64; 128];
        words[0] = size_of_val(&words) as u64;
        ioctl(
            &self.file,
            request::IOMMU_GET_INFO,
            &mut words,
            "VFIO_IOMMU_GET_INFO",
        )?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let field = |at: usize| read_u32(&bytes, at);
        let mut at = field(offset_of!(uapi::vfio_iommu_type1_info, cap_offset))? as usize;
        let sizes = read_u64(
            &bytes,
            offset_of!(uapi::vfio_iommu_type1_info, iova_pgsizes),
        )?;
        while at != 0 {
            let id = field(at)? & 0xffff;
            if id == uapi::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE {
                type Cap = uapi::vfio_iommu_type1_info_cap_iova_range;
                let count = field(at + offset_of!(Cap, nr_iovas))? as usize;
                let ranges = (0..count).map(|index| {
                    let range = at + offset_of!(Cap, iova_ranges) + index * 16;
                    Ok(read_u64(&bytes, range)?..=read_u64(&bytes, range + 8)?)
                });
                return Ok((sizes, ranges.collect::<Result<_>>()?));
            }
            at = field(at + offset_of!(uapi::vfio_info_cap_header, next))? as usize;
        }
        anyhow::bail!("VFIO_IOMMU_GET_INFO has no IOVA ranges")
    }
}

impl AsFd for Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..at + 4).context("structure ends early")?;
    Ok(u32::from_ne_bytes(field.try_into()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..at + 8).context("structure ends early")?;
    Ok(u64::from_ne_bytes(field.try_into()?))
}

fn open(path: &str) -> Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("open {path}"))
}

/// A device in a container.
#[derive(Debug)]
pub struct Device {
    file: File,
}

/// Offset of the command register in configuration space, and its bits for memory space and bus
/// mastering (PCI Local Bus Specification, 6.2.2).
const COMMAND: u64 = 4;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;

impl Device {
    /// A device that this process got from the one before it.
    pub fn handed_down(file: OwnedFd) -> Self {
        Self { file: file.into() }
    }

    /// Size, flags and place of region `index`.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn region(&self, index: u32) -> Result<uapi::vfio_region_info> {
        let mut info = uapi::vfio_region_info {
            argsz: argsz::<uapi::vfio_region_info>(),
            index,
            ..Default::default()
        };
        ioctl(
            &self.file,
            request::DEVICE_GET_REGION_INFO,
            &mut info,
            "VFIO_DEVICE_GET_REGION_INFO",
        )?;
        Ok(info)
    }

    /// Flags, number of regions, and number of indices of interrupts.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn info(&self) -> Result<uapi::vfio_device_info> {
        let mut info = uapi::vfio_device_info {
            argsz: argsz::<uapi::vfio_device_info>(),
            ..Default::default()
        };
        ioctl(
            &self.file,
            request::DEVICE_GET_INFO,
            &mut info,
            "VFIO_DEVICE_GET_INFO",
        )?;
        Ok(info)
    }

    /// How many interrupts there are with this index.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn interrupts(&self, index: u32) -> Result<u32> {
        let mut info = uapi::vfio_irq_info {
            argsz: argsz::<uapi::vfio_irq_info>(),
            index,
            ..Default::default()
        };
        ioctl(
            &self.file,
            request::DEVICE_GET_IRQ_INFO,
            &mut info,
            "VFIO_DEVICE_GET_IRQ_INFO",
        )?;
        Ok(info.count)
    }

    /// Sends interrupt `start` with this index to `eventfd` from now on.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn set_eventfd(&self, index: u32, start: u32, eventfd: impl AsFd) -> Result {
        let flags = uapi::VFIO_IRQ_SET_DATA_EVENTFD | uapi::VFIO_IRQ_SET_ACTION_TRIGGER;
        let fd = eventfd.as_fd().as_raw_fd() as u32;
        let mut words = [24, flags, index, start, 1, fd];
        ioctl(
            &self.file,
            request::DEVICE_SET_IRQS,
            &mut words,
            "VFIO_DEVICE_SET_IRQS",
        )?;
        Ok(())
    }

    /// `VFIO_DEVICE_SET_IRQS` with any words, sensible or not.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn set_irqs(&self, mut words: [u32; 8]) -> Result {
        ioctl(
            &self.file,
            request::DEVICE_SET_IRQS,
            &mut words,
            "VFIO_DEVICE_SET_IRQS",
        )?;
        Ok(())
    }

    /// Reads from any place of the device's file, once.
    ///
    /// # Errors
    ///
    /// Those of pread(2).
    pub fn read_file(&self, at: u64, bytes: &mut [u8]) -> Result<usize> {
        Ok(self.file.read_at(bytes, at)?)
    }

    /// Writes to any place of the device's file, once.
    ///
    /// # Errors
    ///
    /// Those of pwrite(2).
    pub fn write_file(&self, at: u64, bytes: &[u8]) -> Result<usize> {
        Ok(self.file.write_at(bytes, at)?)
    }

    /// Resets the device.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn reset(&self) -> Result {
        let mut nothing = 0u32;
        ioctl(
            &self.file,
            request::DEVICE_RESET,
            &mut nothing,
            "VFIO_DEVICE_RESET",
        )?;
        Ok(())
    }

    /// The region with this type and subtype.
    ///
    /// # Errors
    ///
    /// Those of VFIO, or when there is none.
    pub fn find_region(&self, ty: u32, subtype: u32) -> Result<u32> {
        for index in 0..self.info()?.num_regions {
            // Room for the capability, aligned as the structure is.
            let mut words = [0u32; 32];
            (words[0], words[2]) = (size_of_val(&words) as u32, index);
            ioctl(
                &self.file,
                request::DEVICE_GET_REGION_INFO,
                &mut words,
                "VFIO_DEVICE_GET_REGION_INFO",
            )?;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let cap = words[offset_of!(uapi::vfio_region_info, cap_offset) / 4] as usize;
            if cap != 0
                && read_u32(&bytes, cap)? & 0xffff == uapi::VFIO_REGION_INFO_CAP_TYPE
                && read_u32(&bytes, cap + 8)? == ty
                && read_u32(&bytes, cap + 12)? == subtype
            {
                return Ok(index);
            }
        }
        anyhow::bail!("no region of type {ty:#x}, subtype {subtype}")
    }

    /// Maps the registers of memory BAR `index`.
    ///
    /// # Errors
    ///
    /// Those of VFIO and mmap(2).
    pub fn map_bar(&self, index: u32) -> Result<Mapping> {
        let info = self.region(uapi::VFIO_PCI_BAR0_REGION_INDEX + index)?;
        Mapping::of_file(&self.file, info.offset, usize::try_from(info.size)?)
    }

    /// Maps the registers of memory BAR `index` as what is copied when it is written.
    ///
    /// # Errors
    ///
    /// Those of VFIO and mmap(2).
    pub fn map_bar_private(&self, index: u32) -> Result<Mapping> {
        let info = self.region(uapi::VFIO_PCI_BAR0_REGION_INDEX + index)?;
        Mapping::of_file_private(&self.file, info.offset, usize::try_from(info.size)?)
    }

    /// Maps `len` bytes from `offset` of region `index` on.
    ///
    /// # Errors
    ///
    /// Those of VFIO and mmap(2).
    pub fn map_region_part(&self, index: u32, offset: u64, len: usize) -> Result<Mapping> {
        Mapping::of_file(&self.file, self.region(index)?.offset + offset, len)
    }

    /// Maps `len` bytes of the registers of memory BAR `index` in place of what is at `offset` of
    /// `memory`.
    ///
    /// # Errors
    ///
    /// Those of VFIO and mmap(2).
    pub fn map_bar_over(&self, index: u32, memory: &Mapping, offset: usize, len: usize) -> Result {
        let info = self.region(uapi::VFIO_PCI_BAR0_REGION_INDEX + index)?;
        memory.cover(offset, len, &self.file, info.offset)
    }

    /// Has the driver of a device of vfio_ktest pin the page at `iova`, for writing.
    ///
    /// # Errors
    ///
    /// Those of `vfio_pin_pages()`.
    pub fn pin_by_driver(&self, iova: u64) -> Result {
        let mut word = 0u64;
        // `struct vfio_ktest_request`: one page, of which the first word is wanted.
        let mut words = [iova, 1, (&raw mut word) as u64, 3];
        let pinned = ioctl(&self.file, request::KTEST_PIN, &mut words, "VFIO_KTEST_PIN")?;
        anyhow::ensure!(pinned == 1, "{pinned} pages pinned");
        Ok(())
    }

    /// Reads from region `index`.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn read(&self, index: u32, offset: u64, bytes: &mut [u8]) -> Result {
        let at = self.region(index)?.offset + offset;
        self.file.read_exact_at(bytes, at).with_context(|| {
            format!(
                "read {} bytes at {offset:#x} of region {index}",
                bytes.len()
            )
        })
    }

    /// Writes to region `index`.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn write(&self, index: u32, offset: u64, bytes: &[u8]) -> Result {
        let at = self.region(index)?.offset + offset;
        self.file.write_all_at(bytes, at).with_context(|| {
            format!(
                "write {} bytes at {offset:#x} of region {index}",
                bytes.len()
            )
        })
    }

    /// Lets the device begin transactions of its own, or forbids it.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn set_bus_master(&self, on: bool) -> Result {
        self.set_command(COMMAND_MASTER, on)?;
        self.set_command(COMMAND_MEMORY, true)
    }

    /// Lets the device answer at the addresses of its memory BARs, or forbids it.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn set_memory(&self, on: bool) -> Result {
        self.set_command(COMMAND_MEMORY, on)
    }

    fn set_command(&self, bit: u16, on: bool) -> Result {
        let at = self.region(uapi::VFIO_PCI_CONFIG_REGION_INDEX)?.offset + COMMAND;
        let mut bytes = [0; 2];
        self.file.read_exact_at(&mut bytes, at)?;
        let command = u16::from_le_bytes(bytes);
        let command = if on { command | bit } else { command & !bit };
        self.file.write_all_at(&command.to_le_bytes(), at)?;
        Ok(())
    }
}
