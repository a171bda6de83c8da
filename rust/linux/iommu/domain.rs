// SPDX-License-Identifier: GPL-2.0

//! Address spaces: [`PagingDomain`] as the C code sees it.
//!
//! The domain is a `struct pt_iommu`, so that the core hands over whole ranges (`map_range`,
//! `unmap_range`) and does not cut them into runs of one page size first.
//!
//! C header: [`include/linux/generic_pt/iommu.h`](srctree/include/linux/generic_pt/iommu.h)

use super::core_ops::DeviceOf;
use super::gather::Gather;
use super::{Driver, Gfp, Old, PagingDomain};
use crate::abi::{callback1, callback2, callback3, callback4, callback7, Object, Receive};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::types::Opaque;
use siov_iopgtable::Prot;
use siov_types::{Iova, IovaRange, Pasid, PhysAddr};

/// What a domain can map.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// IOVAs that may be mapped.
    pub aperture: IovaRange,
    /// One bit for each size of a leaf, in bytes.
    pub page_sizes: u64,
}

/// A paging domain: the core's structure and the driver's.
#[pin_data]
#[repr(C)]
pub struct Domain<T: PagingDomain> {
    pt: Opaque<bindings::pt_iommu>,
    data: T,
}

// The core finds the `pt_iommu` from its domain, and we find our structure from either.
static_assertions::const_assert!(core::mem::offset_of!(bindings::pt_iommu, domain) == 0);

impl<T: PagingDomain> Domain<T> {
    /// Wraps `data`, near NUMA node `node`.
    pub fn new(data: T, geometry: Geometry, node: i32) -> Result<Pin<KBox<Self>>> {
        let pt = bindings::pt_iommu {
            domain: bindings::iommu_domain {
                is_iommupt: true,
                pgsize_bitmap: geometry.page_sizes as usize,
                geometry: bindings::iommu_domain_geometry {
                    aperture_start: geometry.aperture.first().raw(),
                    aperture_end: geometry.aperture.last().raw(),
                    force_aperture: true,
                },
                ..Default::default()
            },
            ops: Table::<T>::PT_OPS,
            nid: node,
            ..Default::default()
        };
        let domain = KBox::pin_init(
            pin_init!(Self {
                pt: Opaque::new(pt),
                data,
            }),
            GFP_KERNEL,
        )?;
        let ops = if domain.data.needs_sync_map() {
            Table::<T>::OPS_SYNC_MAP
        } else {
            Table::<T>::OPS
        };
        // SAFETY: The domain is ours alone until it is handed to the core.
        unsafe { (*domain.pt.get()).domain.ops = ops };
        Ok(domain)
    }

    /// Gives the domain to the core, which frees it through its operations.
    pub(super) fn into_raw(this: Pin<KBox<Self>>) -> *mut bindings::iommu_domain {
        // SAFETY: The C side never moves it.
        let ptr = KBox::into_raw(unsafe { Pin::into_inner_unchecked(this) });
        ptr.cast()
    }
}

// SAFETY: `pt` is the first field of a `repr(C)` structure.
unsafe impl<T: PagingDomain> Object<bindings::pt_iommu> for Domain<T> {}
// SAFETY: As above, and the domain is the first field of `pt`.
unsafe impl<T: PagingDomain> Object<bindings::iommu_domain> for Domain<T> {}

impl<T: PagingDomain> Domain<T> {
    /// Has the hardware forget what was gathered, and frees the tables among it.
    #[inline(always)]
    fn sync_and_free(&self, gather: &mut Gather) {
        self.sync(gather);
        if gather.has_tables() {
            // SAFETY: The hardware has just been made to forget them.
            unsafe { gather.free_tables() };
        }
    }
}

impl<T: PagingDomain> core::ops::Deref for Domain<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// `IOMMU_READ`, `IOMMU_WRITE` of a C caller. The flags that VT-d has no bit for are left out, as
/// the C driver does.
#[inline(always)]
fn prot_from_raw(raw: u32) -> Prot {
    let mut prot = Prot::empty();
    if raw & bindings::IOMMU_READ != 0 {
        prot |= Prot::READ;
    }
    if raw & bindings::IOMMU_WRITE != 0 {
        prot |= Prot::WRITE;
    }
    prot
}

/// The C functions of one type of domain.
struct Table<T: PagingDomain>(PhantomData<T>);

impl<T: PagingDomain> Table<T> {
    const PT_OPS: &'static bindings::pt_iommu_ops = &bindings::pt_iommu_ops {
        map_range: Some(callback7(Self::map_range)),
        unmap_range: Some(callback4(Self::unmap_range)),
        get_info: Some(callback2(Self::get_info)),
        ..pin_init::zeroed()
    };

    const BASE: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(callback3(Self::attach_dev)),
        set_dev_pasid: Some(callback4(Self::set_dev_pasid)),
        flush_iotlb_all: Some(callback1(Self::flush_iotlb_all)),
        iotlb_sync: Some(callback2(Self::iotlb_sync)),
        iova_to_phys: Some(callback2(Self::iova_to_phys)),
        enforce_cache_coherency: Some(callback1(Self::enforce_cache_coherency)),
        free: Some(callback1(Self::free)),
        ..pin_init::zeroed()
    };

    const OPS: &'static bindings::iommu_domain_ops = &Self::BASE;

    const OPS_SYNC_MAP: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        iotlb_sync_map: Some(callback3(Self::iotlb_sync_map)),
        ..Self::BASE
    };

    extern "C" fn attach_dev(
        domain: &Domain<T>,
        dev: DeviceOf<'_, T::Driver>,
        old: OldDomain<'_, T::Driver>,
    ) -> i32 {
        Self::set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old)
    }

    extern "C" fn set_dev_pasid(
        domain: &Domain<T>,
        dev: DeviceOf<'_, T::Driver>,
        pasid: bindings::ioasid_t,
        old: OldDomain<'_, T::Driver>,
    ) -> i32 {
        dev.attach(pasid, old, |state, pasid, old| {
            T::Driver::attach_paging(domain, state, pasid, old)
        })
    }

    extern "C" fn map_range(
        domain: &Domain<T>,
        iova: bindings::dma_addr_t,
        paddr: bindings::phys_addr_t,
        len: bindings::dma_addr_t,
        prot: u32,
        gfp: bindings::gfp_t,
        mapped: &mut usize,
    ) -> i32 {
        Gather::with_empty(|gather| {
            let (bytes, result) = domain.map(
                Iova::new(iova),
                PhysAddr::new(paddr),
                len,
                prot_from_raw(prot),
                Gfp::from_raw(gfp),
                gather,
            );
            if gather.has_tables() {
                domain.sync_and_free(gather);
            }
            *mapped += bytes as usize;
            match result {
                Ok(()) => 0,
                Err(e) => e.to_errno(),
            }
        })
    }

    extern "C" fn unmap_range(
        domain: &Domain<T>,
        iova: bindings::dma_addr_t,
        len: bindings::dma_addr_t,
        gather: &mut Gather,
    ) -> usize {
        domain.unmap(Iova::new(iova), len, gather) as usize
    }

    extern "C" fn get_info(domain: &Domain<T>, info: PageSizes<'_>) {
        // SAFETY: Set in `new`, and constant.
        info.0.pgsize_bitmap = unsafe { (*domain.pt.get()).domain.pgsize_bitmap } as u64;
    }

    extern "C" fn flush_iotlb_all(domain: &Domain<T>) {
        domain.sync_all();
    }

    extern "C" fn iotlb_sync_map(domain: &Domain<T>, iova: usize, size: usize) -> i32 {
        if let Some(range) = IovaRange::from_len(Iova::new(iova as u64), size as u64) {
            domain.sync_map(range);
        }
        0
    }

    extern "C" fn iotlb_sync(domain: &Domain<T>, gather: &mut Gather) {
        domain.sync_and_free(gather);
    }

    extern "C" fn iova_to_phys(
        domain: &Domain<T>,
        iova: bindings::dma_addr_t,
    ) -> bindings::phys_addr_t {
        // Zero is how the interface says that there is none.
        domain
            .iova_to_phys(Iova::new(iova))
            .map_or(0, PhysAddr::raw)
    }

    extern "C" fn enforce_cache_coherency(domain: &Domain<T>) -> bool {
        domain.enforce_cache_coherency()
    }

    extern "C" fn free(domain: *mut bindings::iommu_domain) {
        // SAFETY: It came from `into_raw()`, and the core gives it back, once, when it is attached nowhere.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(domain.cast::<Domain<T>>())) });
    }
}

/// Where `get_info` leaves its answer.
#[repr(transparent)]
struct PageSizes<'a>(&'a mut bindings::pt_iommu_info);

// SAFETY: The core passes what is valid for writes, for the function alone.
unsafe impl Receive<*mut bindings::pt_iommu_info> for PageSizes<'_> {}

/// The domain that a PASID of a device of this driver is attached to; or NULL.
#[repr(transparent)]
pub(super) struct OldDomain<'a, D: Driver>(*mut bindings::iommu_domain, PhantomData<&'a D>);

// SAFETY: The core passes that domain.
unsafe impl<D: Driver> Receive<*mut bindings::iommu_domain> for OldDomain<'_, D> {}

impl<D: Driver> OldDomain<'_, D> {
    /// What it is.
    pub(super) fn get(&self) -> Old<'_, D> {
        if self.0.is_null() {
            return Old::None;
        }
        // SAFETY: A valid domain, whose type does not change.
        let kind = unsafe { (*self.0).type_ };
        if kind & bindings::__IOMMU_DOMAIN_PAGING != 0 {
            // SAFETY: Paging domains that our devices are attached to were made by us.
            Old::Paging(unsafe { &(*self.0.cast::<Domain<D::Paging>>()).data })
        } else if kind & bindings::__IOMMU_DOMAIN_PT != 0 {
            Old::Identity
        } else {
            Old::Blocked
        }
    }
}
