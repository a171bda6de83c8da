// SPDX-License-Identifier: GPL-2.0

//! Address spaces: [`PagingDomain`] as the C code sees it.
//!
//! The domain is a `struct pt_iommu`, so that the core hands over whole ranges (`map_range`,
//! `unmap_range`) and does not cut them into runs of one page size first.
//!
//! C header: [`include/linux/generic_pt/iommu.h`](srctree/include/linux/generic_pt/iommu.h)

use super::gather::Gather;
use super::{Core, Driver, Gfp, Old, PagingDomain};
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

    /// # Safety
    ///
    /// `ptr` comes from [`Self::into_raw`] of the same type and is not freed for `'a`.
    #[inline(always)]
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::iommu_domain) -> &'a T {
        // SAFETY: `pt` is the first field, and the domain the first of `pt`.
        unsafe { &(*ptr.cast::<Self>()).data }
    }

    /// As [`Self::from_raw`] for the page-table side of the structure.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    unsafe fn from_pt<'a>(ptr: *mut bindings::pt_iommu) -> &'a T {
        // SAFETY: The `domain` is the first field of `pt_iommu`.
        unsafe { Self::from_raw(ptr.cast()) }
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
        map_range: Some(Self::map_range),
        unmap_range: Some(Self::unmap_range),
        get_info: Some(Self::get_info),
        ..pin_init::zeroed()
    };

    const BASE: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(Self::attach_dev),
        set_dev_pasid: Some(Self::set_dev_pasid),
        flush_iotlb_all: Some(Self::flush_iotlb_all),
        iotlb_sync: Some(Self::iotlb_sync),
        iova_to_phys: Some(Self::iova_to_phys),
        enforce_cache_coherency: Some(Self::enforce_cache_coherency),
        free: Some(Self::free),
        ..pin_init::zeroed()
    };

    const OPS: &'static bindings::iommu_domain_ops = &Self::BASE;

    const OPS_SYNC_MAP: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        iotlb_sync_map: Some(Self::iotlb_sync_map),
        ..Self::BASE
    };

    /// # Safety
    ///
    /// Called by the core: `dev` has an IOMMU of this driver, `old` is what it is attached to, and
    /// the group's mutex is held.
    unsafe extern "C" fn attach_dev(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: As required of us.
        unsafe { Self::set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old) }
    }

    /// # Safety
    ///
    /// As [`Self::attach_dev`].
    unsafe extern "C" fn set_dev_pasid(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        pasid: bindings::ioasid_t,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: The core passes a domain that we made.
        let domain = unsafe { Domain::<T>::from_raw(domain) };
        let attach =
            |state: &_, pasid, old: Old<'_, _>| T::Driver::attach_paging(domain, state, pasid, old);
        // SAFETY: As required of us.
        unsafe { Core::<T::Driver>::attach(dev, pasid, old, attach) }
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed, a gather on nobody's hands, and `mapped`
    /// valid for writes.
    unsafe extern "C" fn map_range(
        pt: *mut bindings::pt_iommu,
        iova: bindings::dma_addr_t,
        paddr: bindings::phys_addr_t,
        len: bindings::dma_addr_t,
        prot: u32,
        gfp: bindings::gfp_t,
        mapped: *mut usize,
    ) -> i32 {
        // SAFETY: As required of us.
        let domain = unsafe { Domain::<T>::from_pt(pt) };

        let mut gather = bindings::iommu_iotlb_gather {
            start: usize::MAX,
            ..Default::default()
        };
        let head = &raw mut gather.freelist.pages;
        // SAFETY: The gather stays where it is until the end of this function.
        unsafe {
            (*head).next = head;
            (*head).prev = head;
        }
        // SAFETY: Just initialised, and ours.
        let gather = unsafe { Gather::from_raw(&raw mut gather) };

        let (bytes, result) = domain.map(
            Iova::new(iova),
            PhysAddr::new(paddr),
            len,
            prot_from_raw(prot),
            Gfp::from_raw(gfp),
            gather,
        );
        if gather.has_tables() {
            domain.sync(gather);
            // SAFETY: The hardware has just been made to forget them.
            unsafe { gather.free_tables() };
        }

        // SAFETY: As required of us.
        unsafe { *mapped += bytes as usize };
        match result {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed, and a gather in use by this call only.
    unsafe extern "C" fn unmap_range(
        pt: *mut bindings::pt_iommu,
        iova: bindings::dma_addr_t,
        len: bindings::dma_addr_t,
        gather: *mut bindings::iommu_iotlb_gather,
    ) -> usize {
        // SAFETY: As required of us.
        let (domain, gather) = unsafe { (Domain::<T>::from_pt(pt), Gather::from_raw(gather)) };
        domain.unmap(Iova::new(iova), len, gather) as usize
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours and `info` valid for writes.
    unsafe extern "C" fn get_info(pt: *mut bindings::pt_iommu, info: *mut bindings::pt_iommu_info) {
        // SAFETY: As required of us.
        unsafe { (*info).pgsize_bitmap = (*pt).domain.pgsize_bitmap as u64 };
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed.
    unsafe extern "C" fn flush_iotlb_all(domain: *mut bindings::iommu_domain) {
        // SAFETY: As required of us.
        unsafe { Domain::<T>::from_raw(domain) }.sync_all();
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed.
    unsafe extern "C" fn iotlb_sync_map(
        domain: *mut bindings::iommu_domain,
        iova: usize,
        size: usize,
    ) -> i32 {
        // SAFETY: As required of us.
        let domain = unsafe { Domain::<T>::from_raw(domain) };
        if let Some(range) = IovaRange::from_len(Iova::new(iova as u64), size as u64) {
            domain.sync_map(range);
        }
        0
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed, and a gather in use by this call only.
    unsafe extern "C" fn iotlb_sync(
        domain: *mut bindings::iommu_domain,
        gather: *mut bindings::iommu_iotlb_gather,
    ) {
        // SAFETY: As required of us.
        let (domain, gather) = unsafe { (Domain::<T>::from_raw(domain), Gather::from_raw(gather)) };
        domain.sync(gather);
        if gather.has_tables() {
            // SAFETY: The hardware has just been made to forget them.
            unsafe { gather.free_tables() };
        }
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed.
    unsafe extern "C" fn iova_to_phys(
        domain: *mut bindings::iommu_domain,
        iova: bindings::dma_addr_t,
    ) -> bindings::phys_addr_t {
        // SAFETY: As required of us.
        let domain = unsafe { Domain::<T>::from_raw(domain) };
        // Zero is how the interface says that there is none.
        domain
            .iova_to_phys(Iova::new(iova))
            .map_or(0, PhysAddr::raw)
    }

    /// # Safety
    ///
    /// Called by the core with a domain of ours, not freed.
    unsafe extern "C" fn enforce_cache_coherency(domain: *mut bindings::iommu_domain) -> bool {
        // SAFETY: As required of us.
        unsafe { Domain::<T>::from_raw(domain) }.enforce_cache_coherency()
    }

    /// # Safety
    ///
    /// Called by the core, once, for a domain of ours that is attached nowhere.
    unsafe extern "C" fn free(domain: *mut bindings::iommu_domain) {
        // SAFETY: It came from `into_raw()`, and the core gives it back.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(domain.cast::<Domain<T>>())) });
    }
}

impl<D: Driver> Core<D> {
    /// What `old` is.
    ///
    /// # Safety
    ///
    /// `old` is null or a domain that a device of this driver is attached to, for `'a`.
    pub(super) unsafe fn old<'a>(old: *mut bindings::iommu_domain) -> Old<'a, D> {
        if old.is_null() {
            return Old::None;
        }
        // SAFETY: As required of us.
        let kind = unsafe { (*old).type_ };
        if kind & bindings::__IOMMU_DOMAIN_PAGING != 0 {
            // SAFETY: Paging domains that our devices are attached to were made by us.
            Old::Paging(unsafe { Domain::<D::Paging>::from_raw(old) })
        } else if kind & bindings::__IOMMU_DOMAIN_PT != 0 {
            Old::Identity
        } else {
            Old::Blocked
        }
    }
}
