// SPDX-License-Identifier: GPL-2.0

//! Address spaces: [`PagingDomain`] as the C code sees it.
//!
//! The domain is a `struct pt_iommu`, so that the core hands over whole ranges (`map_range`,
//! `unmap_range`) and does not cut them into runs of one page size first.
//!
//! C header: [`include/linux/generic_pt/iommu.h`](srctree/include/linux/generic_pt/iommu.h)

use super::core_ops::{DeviceOf, RawOldDomain};
use super::gather::{Gather, Replaced};
use super::pages::{Gfp, TableMemory};
use super::tables::{errno, PageTables, Stage};
use super::{Driver, PagingDomain};
use crate::bindings;
use crate::callback::{Call, FromC};
use crate::object::Object;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use siov_iopgtable::{Config, LeafSize, Prot};
use siov_types::{Iova, IovaRange, Pasid, PhysAddr};

/// A paging domain: the core's structure, its page tables and the driver's data.
#[pin_data]
#[repr(C)]
pub struct Domain<T: PagingDomain> {
    pt: Opaque<bindings::pt_iommu>,
    tables: Arc<PageTables>,
    data: T,
}

// The core finds the `pt_iommu` from its domain, and we find our structure from either.
static_assertions::const_assert!(core::mem::offset_of!(bindings::pt_iommu, domain) == 0);

// SAFETY: `pt` is the first field of a `repr(C)` structure.
unsafe impl<T: PagingDomain> Object<bindings::pt_iommu> for Domain<T> {}
// SAFETY: As above, and the domain is the first field of `pt`.
unsafe impl<T: PagingDomain> Object<bindings::iommu_domain> for Domain<T> {}

impl<T: PagingDomain> Domain<T> {
    /// A domain with empty page tables of this shape. `make` makes the driver's data, which may
    /// keep the page tables to look at them.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` and `EINVAL` for a `config` that the format does not have, `ENOMEM`, those of
    /// `make`.
    pub fn new(
        stage: Stage,
        config: Config,
        memory: TableMemory,
        make: impl FnOnce(&Arc<PageTables>) -> Result<T>,
    ) -> Result<Pin<KBox<Self>>> {
        let last = 1u64
            .checked_shl(config.input_bits.into())
            .ok_or(EINVAL)?
            .saturating_sub(1);
        let page_sizes = [LeafSize::Size4K, LeafSize::Size2M, LeafSize::Size1G]
            .into_iter()
            .filter(|size| *size <= config.max_leaf)
            .fold(0, |sizes, size| sizes | size.bytes());
        let tables = Arc::pin_init(PageTables::new(stage, config, memory)?, GFP_KERNEL)?;
        let data = make(&tables)?;
        let ops = if data.needs_sync_map() {
            Adapter::<T>::OPS_SYNC_MAP
        } else {
            Adapter::<T>::OPS
        };
        let pt = bindings::pt_iommu {
            domain: bindings::iommu_domain {
                is_iommupt: true,
                pgsize_bitmap: page_sizes as usize,
                geometry: bindings::iommu_domain_geometry {
                    aperture_start: 0,
                    aperture_end: last,
                    force_aperture: true,
                },
                ops,
                ..Default::default()
            },
            ops: Adapter::<T>::PT_OPS,
            nid: memory.node.raw(),
            ..Default::default()
        };
        KBox::pin_init(
            pin_init!(Self {
                pt: Opaque::new(pt),
                tables,
                data,
            }),
            GFP_KERNEL,
        )
    }

    /// Gives the domain to the core, which frees it through its operations.
    pub(super) fn into_raw(this: Pin<KBox<Self>>) -> *mut bindings::iommu_domain {
        // SAFETY: The C side never moves it.
        let this = unsafe { Pin::into_inner_unchecked(this) };
        KBox::into_raw(this).cast()
    }

    /// The driver's data.
    pub(super) fn data(&self) -> &T {
        &self.data
    }

    /// Invalidates what was gathered, and frees the tables among it.
    #[inline(always)]
    fn sync_and_free(&self, gather: &mut Gather) {
        self.data.sync(gather);
        if gather.has_tables() {
            self.tables.wait_for_walks();
            // SAFETY: The driver has invalidated them, and walks that had found them have ended.
            unsafe { gather.free_tables() };
        }
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
struct Adapter<T: PagingDomain>(PhantomData<T>);

impl<T: PagingDomain> Adapter<T> {
    const PT_OPS: &'static bindings::pt_iommu_ops = &bindings::pt_iommu_ops {
        map_range: Some(Self::map_range_callback),
        unmap_range: Some(Self::unmap_range_callback),
        get_info: Some(Self::get_info_callback),
        ..pin_init::zeroed()
    };

    const BASE: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(Self::attach_dev_callback),
        set_dev_pasid: Some(Self::set_dev_pasid_callback),
        flush_iotlb_all: Some(Self::flush_iotlb_all_callback),
        iotlb_sync: Some(Self::iotlb_sync_callback),
        iova_to_phys: Some(Self::iova_to_phys_callback),
        enforce_cache_coherency: Some(Self::enforce_cache_coherency_callback),
        free: Some(Self::free_callback),
        ..pin_init::zeroed()
    };

    const OPS: &'static bindings::iommu_domain_ops = &Self::BASE;

    const OPS_SYNC_MAP: &'static bindings::iommu_domain_ops = &bindings::iommu_domain_ops {
        iotlb_sync_map: Some(Self::iotlb_sync_map_callback),
        ..Self::BASE
    };

    crate::callbacks! {
        /// `iommu_domain_ops::attach_dev`.
        ///
        /// # Safety
        ///
        /// For domains that `Domain::<T>::new` made: the core passes them to their own operations,
        /// with a device of `T::Driver` and the domain that the device is attached to.
        unsafe fn attach_dev_callback(
            domain: *mut bindings::iommu_domain => &Domain<T>,
            dev: *mut bindings::device => DeviceOf<'_, T::Driver>,
            old: *mut bindings::iommu_domain => RawOldDomain<'_, T::Driver>,
        ) -> i32 = Self::attach_dev;

        /// `iommu_domain_ops::set_dev_pasid`.
        ///
        /// # Safety
        ///
        /// As for `attach_dev_callback`; `old` is the domain that the PASID is attached to.
        unsafe fn set_dev_pasid_callback(
            domain: *mut bindings::iommu_domain => &Domain<T>,
            dev: *mut bindings::device => DeviceOf<'_, T::Driver>,
            pasid: bindings::ioasid_t => u32,
            old: *mut bindings::iommu_domain => RawOldDomain<'_, T::Driver>,
        ) -> i32 = Self::set_dev_pasid;

        /// `iommu_domain_ops::flush_iotlb_all`.
        ///
        /// # Safety
        ///
        /// As for `attach_dev_callback`.
        unsafe fn flush_iotlb_all_callback(domain: *mut bindings::iommu_domain => &Domain<T>)
            = Self::flush_iotlb_all;

        /// `iommu_domain_ops::iotlb_sync_map`.
        ///
        /// # Safety
        ///
        /// As for `attach_dev_callback`.
        unsafe fn iotlb_sync_map_callback(
            domain: *mut bindings::iommu_domain => &Domain<T>,
            iova: usize => usize,
            size: usize => usize,
        ) -> i32 = Self::iotlb_sync_map;

        /// `iommu_domain_ops::iotlb_sync`.
        ///
        /// # Safety
        ///
        /// As for `attach_dev_callback`, with a gather that `unmap_range` of the domain has filled.
        unsafe fn iotlb_sync_callback(
            domain: *mut bindings::iommu_domain => &Domain<T>,
            gather: *mut bindings::iommu_iotlb_gather => &mut Gather,
        ) = Domain::<T>::sync_and_free;

        /// `iommu_domain_ops::enforce_cache_coherency`.
        ///
        /// # Safety
        ///
        /// As for `attach_dev_callback`.
        unsafe fn enforce_cache_coherency_callback(domain: *mut bindings::iommu_domain => &Domain<T>)
            -> bool = Self::enforce_cache_coherency;
    }

    fn attach_dev(
        domain: &Domain<T>,
        dev: DeviceOf<'_, T::Driver>,
        old: RawOldDomain<'_, T::Driver>,
    ) -> i32 {
        Self::set_dev_pasid(domain, dev, Pasid::NO_PASID.raw(), old)
    }

    fn set_dev_pasid(
        domain: &Domain<T>,
        dev: DeviceOf<'_, T::Driver>,
        pasid: u32,
        old: RawOldDomain<'_, T::Driver>,
    ) -> i32 {
        dev.attach(pasid, old, false, |state, pasid, old| {
            T::Driver::attach_paging(&domain.data, state, pasid, old)
        })
    }

    fn flush_iotlb_all(domain: &Domain<T>) {
        domain.data.sync_all();
        // The DMA API frees tables that it has gathered after this.
        domain.tables.wait_for_walks();
    }

    fn iotlb_sync_map(domain: &Domain<T>, iova: usize, size: usize) -> i32 {
        if let Some(range) = IovaRange::from_len(Iova::new(iova as u64), size as u64) {
            domain.data.sync_map(range);
        }
        0
    }

    fn enforce_cache_coherency(domain: &Domain<T>) -> bool {
        domain.data.enforce_cache_coherency()
    }

    /// `pt_iommu_ops::map_range`.
    ///
    /// # Safety
    ///
    /// As for `attach_dev_callback`. The range belongs to the caller of `iommu_map()`: no other
    /// call maps, unmaps or looks up addresses of it meanwhile. `mapped` is the function's alone.
    unsafe extern "C" fn map_range_callback(
        domain: *mut bindings::pt_iommu,
        iova: bindings::dma_addr_t,
        paddr: bindings::phys_addr_t,
        len: bindings::dma_addr_t,
        prot: u32,
        gfp: bindings::gfp_t,
        mapped: *mut usize,
    ) -> i32 {
        // SAFETY: As required of us, and an object is at the address of its structure.
        let domain = unsafe { &*domain.cast::<Domain<T>>() };
        let (iova, phys) = (Iova::new(iova), PhysAddr::new(paddr));
        let prot = prot_from_raw(prot) | domain.data.leaf_attributes();
        let gfp = Gfp::from_raw(gfp);
        Replaced::with_empty(|replaced| {
            // SAFETY: As required of us.
            let (bytes, result) =
                unsafe { domain.tables.map(iova, phys, len, prot, gfp, replaced) };
            if let Some(gather) = replaced.tables() {
                if let Some(range) = IovaRange::from_len(iova, len) {
                    gather.add(range);
                }
                domain.sync_and_free(gather);
            }
            // SAFETY: As required of us.
            unsafe { *mapped += bytes as usize };
            match result {
                Ok(()) => 0,
                Err(e) => errno(e).to_errno(),
            }
        })
    }

    /// `pt_iommu_ops::unmap_range`.
    ///
    /// # Safety
    ///
    /// As for `map_range_callback`, with a gather that is used for this domain only, and is the
    /// function's alone.
    unsafe extern "C" fn unmap_range_callback(
        domain: *mut bindings::pt_iommu,
        iova: bindings::dma_addr_t,
        len: bindings::dma_addr_t,
        gather: *mut bindings::iommu_iotlb_gather,
    ) -> usize {
        let call = Call::new();
        // SAFETY: As required of us, and an object is at the address of its structure.
        let domain = unsafe { &*domain.cast::<Domain<T>>() };
        // SAFETY: As required of us.
        let gather = unsafe { <&mut Gather>::from_c(gather, &call) };
        // SAFETY: As required of us.
        let unmapped = unsafe { domain.tables.unmap(Iova::new(iova), len, gather) };
        if let Some(touched) = unmapped.touched {
            if !gather.is_queued() {
                gather.add(touched);
            }
        }
        unmapped.bytes as usize
    }

    /// `iommu_domain_ops::iova_to_phys`.
    ///
    /// # Safety
    ///
    /// As for `map_range_callback`, for the address.
    unsafe extern "C" fn iova_to_phys_callback(
        domain: *mut bindings::iommu_domain,
        iova: bindings::dma_addr_t,
    ) -> bindings::phys_addr_t {
        // SAFETY: As required of us, and an object is at the address of its structure.
        let domain = unsafe { &*domain.cast::<Domain<T>>() };
        // SAFETY: As required of us.
        let phys = unsafe { domain.tables.iova_to_phys(Iova::new(iova)) };
        // Zero is how the interface says that there is none.
        phys.map_or(0, PhysAddr::raw)
    }

    /// `pt_iommu_ops::get_info`.
    ///
    /// # Safety
    ///
    /// As for `attach_dev_callback`; `info` is valid for writes, and the function's alone.
    unsafe extern "C" fn get_info_callback(
        domain: *mut bindings::pt_iommu,
        info: *mut bindings::pt_iommu_info,
    ) {
        // SAFETY: As required of us, and the field is constant.
        let page_sizes = unsafe { (*domain).domain.pgsize_bitmap };
        // SAFETY: As required of us.
        unsafe { (*info).pgsize_bitmap = page_sizes as u64 };
    }

    /// `iommu_domain_ops::free`.
    ///
    /// # Safety
    ///
    /// For domains that `Domain::<T>::into_raw` gave to the core, which gives each back once, when
    /// it is attached nowhere.
    unsafe extern "C" fn free_callback(domain: *mut bindings::iommu_domain) {
        // SAFETY: As required of us.
        let domain = unsafe { KBox::from_raw(domain.cast::<Domain<T>>()) };
        // Pinned since it was made, and it is not moved now.
        drop(Pin::from(domain));
    }
}
