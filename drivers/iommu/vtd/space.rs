// SPDX-License-Identifier: GPL-2.0

//! Address spaces: page tables, and which caches to invalidate on unmap.
//!
//! A space may be attached to many functions, behind several units, for requests without PASID and
//! for PASIDs. On each unit it has one domain id. What the hardware caches of it is described by
//! *tags*: second-stage translations are cached by domain id, first-stage ones by domain id and
//! PASID, and functions with ATS cache both on their own.
//!
//! Locks: `entries`, then `tags`. `tags` is held while invalidations are submitted, so it comes
//! before the queue's lock.

use crate::device::Device;
use crate::unit::{Unit, UnitRef};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use linux::iommu::driver::{PageTables, Stage};
use linux::new_raw_spinlock;
use linux::sync::RawSpinLock;
use siov_iopgtable::{LeafSize, Levels};
use siov_types::{DomainId, IovaRange, Pasid};
use siov_vtd::invalidate::{Cover, Descriptor, PagingStructures, Scope};
use siov_vtd::{AddressWidth, FirstStageMode, PasidEntry};

/// Blocks of pages per invalidation of a range: two cover any range with less than as much again.
const BLOCKS: usize = 2;

/// Translations of a domain that one unit caches together.
struct Tag {
    unit: UnitRef,
    did: DomainId,
    /// First stage: the PASID. Second stage: none, for they are cached by domain id alone.
    pasid: Option<Pasid>,
    /// Attachments behind this tag.
    users: u32,
}

/// A function that caches translations itself.
struct DeviceTag {
    device: Arc<Device>,
    pasid: Pasid,
}

#[derive(Default)]
struct Tags {
    units: KVec<Tag>,
    devices: KVec<DeviceTag>,
}

/// An address space.
#[pin_data]
pub(crate) struct Space {
    tables: Arc<PageTables>,
    sync_map: bool,
    /// No-snoop requests are overridden.
    snoop: AtomicBool,
    #[pin]
    tags: RawSpinLock<Tags>,
    /// Every attachment. The lock also serialises changes of `tags`, which need memory.
    #[pin]
    entries: Mutex<KVec<(Arc<Device>, Pasid)>>,
}

impl Space {
    /// A space that `tables` translate. `sync_map` says whether hardware has to be informed of new
    /// mappings.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(tables: Arc<PageTables>, sync_map: bool) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                tables,
                sync_map,
                snoop: AtomicBool::new(false),
                tags <- new_raw_spinlock!(Tags::default(), "vtd tags"),
                entries <- new_mutex!(KVec::new(), "vtd entries"),
            }),
            GFP_KERNEL,
        )
    }

    /// The page tables, to look at them.
    pub(crate) fn tables(&self) -> &PageTables {
        &self.tables
    }

    fn levels(&self) -> Levels {
        self.tables.config().levels
    }

    /// Whether the unit can walk this domain's tables.
    pub(crate) fn suits(&self, unit: &Unit) -> bool {
        let (cap, ecap) = (unit.cap(), unit.ecap());
        if ecap.page_walk_coherent() != self.tables.is_coherent()
            || (!self.sync_map && cap.required_write_buffer_flush())
            || (self.snoop.load(Ordering::Relaxed) && !ecap.snoop_control())
        {
            return false;
        }
        let config = self.tables.config();
        if config.output_bits > unit.host_address_bits()
            || config.input_bits > cap.max_guest_address_bits()
        {
            return false;
        }
        match self.tables.stage() {
            Stage::First => {
                ecap.first_stage()
                    && (self.levels() == Levels::Four || cap.first_stage_5_level())
                    && (config.max_leaf < LeafSize::Size1G || cap.first_stage_1g())
            }
            Stage::Second => {
                ecap.second_stage()
                    && cap.supports(width(self.levels()))
                    && (config.max_leaf < LeafSize::Size1G || cap.second_stage_1g())
                    && (config.max_leaf < LeafSize::Size2M || cap.second_stage_2m())
                    && (self.sync_map || !cap.caching_mode())
            }
        }
    }

    /// Prepares for translating requests of `pasid` of `device`: from now on, what is unmapped is
    /// invalidated there too. Returns the PASID entry to store.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the unit cannot walk the tables, `ENOSPC` when it has no domain id left.
    pub(crate) fn link(&self, device: &Arc<Device>, pasid: Pasid) -> Result<PasidEntry> {
        let unit = device.unit();
        if !self.suits(unit) {
            return Err(EINVAL);
        }
        let tag_pasid = (self.tables.stage() == Stage::First).then_some(pasid);
        let mut entries = self.entries.lock();
        entries.reserve(1, GFP_KERNEL)?;

        // What the new tags need is allocated first, outside of the spinlock.
        let known = {
            let tags = self.tags.lock();
            tags.units
                .iter()
                .find(|t| Arc::ptr_eq(&t.unit, unit))
                .map(|t| t.did)
        };
        let did = match known {
            Some(did) => did,
            None => unit.alloc_domain_id()?,
        };
        if let Err(e) = self.reserve() {
            if known.is_none() {
                unit.free_domain_id(did);
            }
            return Err(e);
        }

        let mut tags = self.tags.lock();
        let same = |t: &&mut Tag| Arc::ptr_eq(&t.unit, unit) && t.pasid == tag_pasid;
        match tags.units.iter_mut().find(same) {
            // No overflow: there are fewer functions times PASIDs than that.
            Some(tag) => tag.users += 1,
            None => {
                let at = tags
                    .units
                    .iter()
                    .position(|t| Arc::ptr_eq(&t.unit, unit))
                    .unwrap_or(tags.units.len());
                let _ = tags.units.insert_within_capacity(
                    at,
                    Tag {
                        unit: unit.clone(),
                        did,
                        pasid: tag_pasid,
                        users: 1,
                    },
                );
            }
        }
        if device.tlb().is_some() {
            let _ = tags.devices.push_within_capacity(DeviceTag {
                device: device.clone(),
                pasid,
            });
        }
        drop(tags);
        let _ = entries.push_within_capacity((device.clone(), pasid));
        Ok(self.entry(unit, did))
    }

    /// Ends what [`Self::link`] began, once no entry points to this domain any more and all caches
    /// have been invalidated.
    pub(crate) fn unlink(&self, device: &Arc<Device>, pasid: Pasid) {
        let unit = device.unit();
        let tag_pasid = (self.tables.stage() == Stage::First).then_some(pasid);
        let mut entries = self.entries.lock();
        entries.retain(|(d, p)| !(Arc::ptr_eq(d, device) && *p == pasid));

        let mut tags = self.tags.lock();
        // What is taken out is dropped after the lock: it may be the last reference to a device.
        let device_tag = tags
            .devices
            .iter()
            .position(|t| Arc::ptr_eq(&t.device, device) && t.pasid == pasid)
            .and_then(|at| tags.devices.remove(at).ok());
        let at = tags
            .units
            .iter()
            .position(|t| Arc::ptr_eq(&t.unit, unit) && t.pasid == tag_pasid);
        let mut gone = None;
        if let Some(at) = at {
            if let Some(tag) = tags.units.get_mut(at) {
                tag.users = tag.users.saturating_sub(1);
                if tag.users == 0 {
                    gone = tags.units.remove(at).ok();
                }
            }
        }
        let id_unused = !tags.units.iter().any(|t| Arc::ptr_eq(&t.unit, unit));
        drop(tags);
        drop(device_tag);
        if let Some(tag) = gone {
            if id_unused {
                unit.free_domain_id(tag.did);
            }
        }
    }

    /// Makes room for one more tag of each kind. The caller holds `entries`.
    fn reserve(&self) -> Result {
        linux::vec::reserve(&self.tags, |tags| &mut tags.units)?;
        linux::vec::reserve(&self.tags, |tags| &mut tags.devices)
    }

    /// The PASID entry that points to this domain's tables.
    fn entry(&self, unit: &Unit, did: DomainId) -> PasidEntry {
        let snoop = self.snoop.load(Ordering::Relaxed);
        let (root, levels) = (self.tables.root(), self.levels());
        let entry = match self.tables.stage() {
            Stage::First => {
                let mode = if levels == Levels::Five {
                    FirstStageMode::FiveLevel
                } else {
                    FirstStageMode::FourLevel
                };
                PasidEntry::first_stage(did, root, mode).with_page_snoop(snoop)
            }
            Stage::Second => PasidEntry::second_stage(did, root, width(levels)),
        };
        entry.with_page_walk_snoop(unit.ecap().page_walk_coherent())
    }

    /// Invalidates what units and devices have cached of `range`, or of everything when there is
    /// none.
    pub(crate) fn invalidate(&self, range: Option<IovaRange>, structures: PagingStructures) {
        let tags = self.tags.lock();
        // Tags of one unit stand together: they are submitted together, with one wait.
        for group in tags.units.chunk_by(|a, b| Arc::ptr_eq(&a.unit, &b.unit)) {
            let Some(first) = group.first() else { continue };
            let unit = &first.unit;
            unit.submit(|queue| {
                for tag in group {
                    tag.invalidate(range, structures, queue);
                }
                if !tags.devices.is_empty() {
                    // A device may ask again at once: the unit must have invalidated before.
                    queue.fence();
                    for tag in &tags.devices {
                        if Arc::ptr_eq(tag.device.unit(), unit) {
                            tag.invalidate(range, queue);
                        }
                    }
                }
            });
        }
    }

    /// Whether hardware has to be informed of new mappings.
    pub(crate) fn needs_sync_map(&self) -> bool {
        self.sync_map
    }

    /// Whether no-snoop requests are overridden.
    #[inline]
    pub(crate) fn is_snooped(&self) -> bool {
        self.snoop.load(Ordering::Relaxed)
    }

    /// Invalidates the entries that are not present, which hardware may have cached, of `range`.
    pub(crate) fn sync_map(&self, range: IovaRange) {
        let tags = self.tags.lock();
        for tag in &tags.units {
            let unit = &tag.unit;
            if tag.pasid.is_none() && unit.cap().caching_mode() {
                unit.submit(|queue| tag.invalidate(Some(range), PagingStructures::Kept, queue));
            } else {
                unit.flush_write_buffer();
            }
        }
    }

    /// From now on, overrides no-snoop requests; false when some unit cannot.
    ///
    /// Second stage: the bit is in each leaf, and must be asked for before anything is mapped.
    /// First stage: it is in the PASID entries.
    pub(crate) fn enforce_cache_coherency(&self) -> bool {
        let entries = self.entries.lock();
        let can = |(device, _): &(Arc<Device>, Pasid)| device.unit().ecap().snoop_control();
        if !entries.iter().all(can) {
            return false;
        }
        if !self.snoop.swap(true, Ordering::Relaxed) && self.tables.stage() == Stage::First {
            for (device, pasid) in &*entries {
                device.enforce_snoop(*pasid);
            }
        }
        true
    }
}

impl Tag {
    #[inline(always)]
    fn invalidate(
        &self,
        range: Option<IovaRange>,
        structures: PagingStructures,
        queue: &mut crate::queue::Submission<'_>,
    ) {
        let unit = &self.unit;
        let mut push = |scope| {
            queue.push(match self.pasid {
                Some(pasid) => Descriptor::pasid_iotlb(self.did, pasid, scope, structures),
                None => Descriptor::iotlb(self.did, scope, structures, unit.drain()),
            })
        };
        match range {
            Some(range) => {
                Cover::<BLOCKS>::for_each_scope(range, unit.max_address_mask(), push);
            }
            None => push(Scope::Domain),
        }
    }
}

impl DeviceTag {
    fn invalidate(&self, range: Option<IovaRange>, queue: &mut crate::queue::Submission<'_>) {
        // Any power of two of pages can be said in one message of ATS.
        let scope = range.map_or(Scope::Domain, |r| {
            Scope::Pages(siov_vtd::invalidate::Pages::enclosing(r))
        });
        if let Some(descriptor) = self.device.tlb_invalidation(self.pasid, scope) {
            self.device.push_tlb_invalidation(queue, descriptor);
        }
    }
}

fn width(levels: Levels) -> AddressWidth {
    match levels {
        Levels::Three => AddressWidth::Bits39,
        Levels::Four => AddressWidth::Bits48,
        Levels::Five => AddressWidth::Bits57,
    }
}
