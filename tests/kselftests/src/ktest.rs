// SPDX-License-Identifier: GPL-2.0

//! The test module `iommu_ktest`: the kernel's IOMMU API and DMA API
//! (`tests/modules/iommu_ktest.h`).

mod aux;
mod request;

pub use aux::{AuxFault, Misuse};

use crate::kernel_module;
use crate::ktap::Result;
use crate::mmio::Mapping;
use crate::pci::Function;
use crate::{poll, sysfs, PAGE};
use anyhow::Context;
use nix::errno::Errno;
use request::{Device, Request};
use std::fs::File;
use std::mem::size_of;
use std::sync::Arc;

#[repr(C)]
struct DomainArg {
    device: u32,
    domain: u32,
    page_sizes: u64,
    first: u64,
    last: u64,
}

#[repr(C)]
struct AttachArg {
    device: u32,
    domain: u32,
    pasid: u32,
    reserved: u32,
}

#[repr(C)]
struct MapArg {
    domain: u32,
    prot: u32,
    iova: u64,
    phys: u64,
    size: u64,
}

#[repr(C)]
struct UnmapArg {
    domain: u32,
    reserved: u32,
    iova: u64,
    size: u64,
    unmapped: u64,
}

#[repr(C)]
struct PhysArg {
    device: u32,
    domain: u32,
    iova: u64,
    phys: u64,
}

#[repr(C)]
struct BufferArg {
    order: u32,
    buffer: u32,
    phys: u64,
    offset: u64,
}

#[repr(C)]
struct DmaArg {
    device: u32,
    buffer: u32,
    offset: u32,
    size: u32,
    direction: u32,
    mask_bits: u32,
    address: u64,
}

// SAFETY: `IOMMU_KTEST_DOMAIN_ALLOC` takes a `struct iommu_ktest_domain`, which holds no addresses
// of this process.
const DOMAIN_ALLOC: Request<DomainArg> = unsafe { Request::read_write(0) };
// SAFETY: `IOMMU_KTEST_DOMAIN_FREE` takes a number, `__u32`.
const DOMAIN_FREE: Request<u32> = unsafe { Request::write(1) };
// SAFETY: `IOMMU_KTEST_ATTACH` takes a `struct iommu_ktest_attach`, which holds no addresses of
// this process.
const ATTACH: Request<AttachArg> = unsafe { Request::write(2) };
// SAFETY: `IOMMU_KTEST_REPLACE` takes a `struct iommu_ktest_attach`, which holds no addresses of
// this process.
const REPLACE: Request<AttachArg> = unsafe { Request::write(3) };
// SAFETY: `IOMMU_KTEST_DETACH` takes a `struct iommu_ktest_attach`, which holds no addresses of
// this process.
const DETACH: Request<AttachArg> = unsafe { Request::write(4) };
// SAFETY: `IOMMU_KTEST_MAP` takes a `struct iommu_ktest_map`, which holds no addresses of this
// process.
const MAP: Request<MapArg> = unsafe { Request::write(5) };
// SAFETY: `IOMMU_KTEST_UNMAP` takes a `struct iommu_ktest_unmap`, which holds no addresses of this
// process.
const UNMAP: Request<UnmapArg> = unsafe { Request::read_write(6) };
// SAFETY: `IOMMU_KTEST_IOVA_TO_PHYS` takes a `struct iommu_ktest_phys`, which holds no addresses of
// this process.
const IOVA_TO_PHYS: Request<PhysArg> = unsafe { Request::read_write(7) };
// SAFETY: `IOMMU_KTEST_BUFFER_ALLOC` takes a `struct iommu_ktest_buffer`, which holds no addresses
// of this process.
const BUFFER_ALLOC: Request<BufferArg> = unsafe { Request::read_write(8) };
// SAFETY: `IOMMU_KTEST_BUFFER_FREE` takes a number, `__u32`.
const BUFFER_FREE: Request<u32> = unsafe { Request::write(9) };
// SAFETY: `IOMMU_KTEST_DMA_MAP` takes a `struct iommu_ktest_dma`, which holds no addresses of this
// process.
const DMA_MAP: Request<DmaArg> = unsafe { Request::read_write(10) };
// SAFETY: `IOMMU_KTEST_DMA_UNMAP` takes a `struct iommu_ktest_dma`, which holds no addresses of
// this process.
const DMA_UNMAP: Request<DmaArg> = unsafe { Request::write(11) };

// SAFETY: `IOMMU_KTEST_DISCONNECT` takes a number, `__u32`.
const DISCONNECT: Request<u32> = unsafe { Request::write(23) };

const _: () = {
    assert!(size_of::<DomainArg>() == 32);
    assert!(size_of::<AttachArg>() == 16);
    assert!(size_of::<MapArg>() == 32);
    assert!(size_of::<UnmapArg>() == 32);
    assert!(size_of::<PhysArg>() == 24);
    assert!(size_of::<BufferArg>() == 24);
    assert!(size_of::<DmaArg>() == 32);
};

/// What a mapping permits: IOMMU_READ and IOMMU_WRITE of the kernel's `include/linux/iommu.h`.
pub mod prot {
    /// The device reads.
    pub const READ: u32 = 1;
    /// The device writes.
    pub const WRITE: u32 = 2;
    /// Both.
    pub const BOTH: u32 = READ | WRITE;
}

/// Which way data goes (enum dma_data_direction).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The device reads and writes.
    Both = 0,
    /// The device reads.
    ToDevice = 1,
    /// The device writes.
    FromDevice = 2,
}

/// An open /dev/iommu_ktest: all that is made through it goes with it.
#[derive(Clone, Debug)]
pub struct Ktest {
    device: Arc<Device>,
}

impl Ktest {
    /// Loads the module and opens its device.
    ///
    /// # Errors
    ///
    /// Those of the module and of opening.
    pub fn open() -> Result<Self> {
        kernel_module::modprobe("iommu_ktest", "")?;
        let path = "/dev/iommu_ktest";
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .context(path)?;
        Ok(Self {
            device: Arc::new(Device::new(file)),
        })
    }

    /// Binds the module's driver to `function`, which need not have an IOMMU.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn bind(&self, function: &Function) -> Result {
        function.bind("iommu_ktest")
    }

    /// Binds the module's driver to `function`, which has an IOMMU.
    ///
    /// # Errors
    ///
    /// Those of sysfs.
    pub fn take(&self, function: &Function) -> Result {
        self.bind(function)?;
        // A device that was just plugged may be bound by whoever plugs it, in the background.
        poll::until_true(&format!("iommu_ktest takes {function}"), || {
            match self.current_phys(function, 0) {
                Ok(_) => Ok(true),
                Err(error) if sysfs::errno(&error) == Some(Errno::ENODEV as i32) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// Marks `function`, which the driver has, as removed without notice: from now on the kernel
    /// does not reach its configuration space.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the driver is not bound to it.
    pub fn disconnect(&self, function: &Function) -> Result {
        self.device.call(DISCONNECT, &mut function.id(), || {
            format!("disconnect {function}")
        })
    }

    /// A paging domain that suits `function`.
    ///
    /// # Errors
    ///
    /// Those of iommu_paging_domain_alloc().
    pub fn domain(&self, function: &Function) -> Result<Domain> {
        let mut arg = DomainArg {
            device: function.id(),
            domain: 0,
            page_sizes: 0,
            first: 0,
            last: 0,
        };
        self.device
            .call(DOMAIN_ALLOC, &mut arg, || format!("domain for {function}"))?;
        Ok(Domain {
            device: self.device.clone(),
            number: arg.domain,
            page_sizes: arg.page_sizes,
            first: arg.first,
            last: arg.last,
        })
    }

    /// 2^`order` zeroed pages of the kernel, physically contiguous.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or those of mmap(2).
    pub fn buffer(&self, order: u32) -> Result<Buffer> {
        let mut arg = BufferArg {
            order,
            buffer: 0,
            phys: 0,
            offset: 0,
        };
        self.device.call(BUFFER_ALLOC, &mut arg, || {
            format!("buffer of order {order}")
        })?;
        let memory = Mapping::of_file(self.device.file(), arg.offset, PAGE << order);
        if memory.is_err() {
            let _ = self.device.call(BUFFER_FREE, &mut arg.buffer, String::new);
        }
        Ok(Buffer {
            device: self.device.clone(),
            number: arg.buffer,
            phys: arg.phys,
            memory: memory?,
        })
    }

    /// What the domain that `function` has now translates `iova` to.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the driver is not bound to it.
    pub fn current_phys(&self, function: &Function, iova: u64) -> Result<Option<u64>> {
        iova_to_phys(&self.device, function.id(), 0, iova)
    }
}

fn iova_to_phys(handle: &Device, device: u32, domain: u32, iova: u64) -> Result<Option<u64>> {
    let mut arg = PhysArg {
        device,
        domain,
        iova,
        phys: 0,
    };
    handle.call(IOVA_TO_PHYS, &mut arg, || {
        format!("iova_to_phys of {iova:#x}")
    })?;
    Ok((arg.phys != 0).then_some(arg.phys))
}

/// A paging domain; detached and freed when dropped.
#[derive(Debug)]
pub struct Domain {
    device: Arc<Device>,
    number: u32,
    /// Page sizes in bytes, a bit for each.
    pub page_sizes: u64,
    /// The lowest address that can be mapped.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

/// The PASID of requests that have none.
pub const NO_PASID: u32 = 0;

impl Domain {
    fn attachment(&self, function: &Function, pasid: u32) -> AttachArg {
        AttachArg {
            device: function.id(),
            domain: self.number,
            pasid,
            reserved: 0,
        }
    }

    /// Translates requests of `pasid` of `function`, or those without PASID for [`NO_PASID`].
    ///
    /// # Errors
    ///
    /// Those of iommu_attach_group() and iommu_attach_device_pasid(); `EOPNOTSUPP` for a PASID of a
    /// function without any.
    pub fn attach(&self, function: &Function, pasid: u32) -> Result {
        let mut arg = self.attachment(function, pasid);
        self.device.call(ATTACH, &mut arg, || {
            format!("attach PASID {pasid} of {function}")
        })
    }

    /// Takes the place of the domain that `pasid` of `function` is attached to.
    ///
    /// # Errors
    ///
    /// Those of iommu_replace_group_handle() and iommu_replace_device_pasid().
    pub fn replace(&self, function: &Function, pasid: u32) -> Result {
        let mut arg = self.attachment(function, pasid);
        self.device.call(REPLACE, &mut arg, || {
            format!("replace PASID {pasid} of {function}")
        })
    }

    /// Ends the attachment.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    pub fn detach(&self, function: &Function, pasid: u32) -> Result {
        let mut arg = self.attachment(function, pasid);
        self.device.call(DETACH, &mut arg, || {
            format!("detach PASID {pasid} of {function}")
        })
    }

    /// iommu_map().
    ///
    /// # Errors
    ///
    /// Those of iommu_map().
    pub fn map(&self, iova: u64, phys: u64, len: usize, prot: u32) -> Result {
        let mut arg = MapArg {
            domain: self.number,
            prot,
            iova,
            phys,
            size: len as u64,
        };
        self.device.call(MAP, &mut arg, || {
            format!("map {len:#x} bytes at {iova:#x} to {phys:#x}")
        })
    }

    /// iommu_unmap(): how many bytes it has unmapped.
    ///
    /// # Errors
    ///
    /// Those of the request; iommu_unmap() itself has none.
    pub fn unmap(&self, iova: u64, len: usize) -> Result<usize> {
        let mut arg = UnmapArg {
            domain: self.number,
            reserved: 0,
            iova,
            size: len as u64,
            unmapped: 0,
        };
        self.device.call(UNMAP, &mut arg, || {
            format!("unmap {len:#x} bytes at {iova:#x}")
        })?;
        Ok(usize::try_from(arg.unmapped)?)
    }

    /// iommu_iova_to_phys(); `None` where nothing is mapped.
    ///
    /// # Errors
    ///
    /// Those of the request.
    pub fn iova_to_phys(&self, iova: u64) -> Result<Option<u64>> {
        iova_to_phys(&self.device, 0, self.number, iova)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let result = self.device.call(DOMAIN_FREE, &mut self.number, String::new);
        debug_assert!(result.is_ok(), "domain not freed: {result:?}");
    }
}

/// Pages of the kernel. They must not be mapped by a domain any more when this is dropped.
#[derive(Debug)]
pub struct Buffer {
    device: Arc<Device>,
    number: u32,
    /// Physical address.
    pub phys: u64,
    /// The pages.
    pub memory: Mapping,
}

impl Buffer {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// A buffer is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// dma_map_page() of `len` bytes from `offset` on, for a device with so many address bits: the
    /// address for the device.
    ///
    /// # Errors
    ///
    /// Those of dma_set_mask() and dma_map_page().
    pub fn dma_map(
        &self,
        function: &Function,
        offset: usize,
        len: usize,
        direction: Direction,
        mask_bits: u32,
    ) -> Result<u64> {
        let mut arg = DmaArg {
            device: function.id(),
            buffer: self.number,
            offset: u32::try_from(offset)?,
            size: u32::try_from(len)?,
            direction: direction as u32,
            mask_bits,
            address: 0,
        };
        self.device
            .call(DMA_MAP, &mut arg, || format!("dma_map_page for {function}"))?;
        Ok(arg.address)
    }

    /// dma_unmap_page() of an address that [`Self::dma_map`] returned.
    ///
    /// # Errors
    ///
    /// `ENOENT` when it is not mapped.
    pub fn dma_unmap(&self, function: &Function, address: u64) -> Result {
        let mut arg = DmaArg {
            device: function.id(),
            buffer: self.number,
            offset: 0,
            size: 0,
            direction: 0,
            mask_bits: 0,
            address,
        };
        self.device.call(DMA_UNMAP, &mut arg, || {
            format!("dma_unmap_page of {address:#x} for {function}")
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let result = self.device.call(BUFFER_FREE, &mut self.number, String::new);
        debug_assert!(result.is_ok(), "buffer not freed: {result:?}");
    }
}
