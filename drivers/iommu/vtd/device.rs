// SPDX-License-Identifier: GPL-2.0

//! One PCI function behind a unit: its PASID table, and what its requests are translated by.
//!
//! Changes are serialised by the mutex of the function's group, which the IOMMU core holds.

use crate::devices::Requester;
use crate::pasid_table::PasidTable;
use crate::queue::Submission;
use crate::space::Space;
use crate::unit::{Unit, UnitRef};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{new_mutex, Arc, Mutex, SetOnce};
use linux::error::eopnotsupp;
use linux::iommu::driver::{Function, TableMemory};
use linux::iommu::Group;
use linux::numa;
use linux::pci::{self, DeviceExt};
use siov_types::{Bdf, Pasid};
use siov_vtd::errata;
use siov_vtd::invalidate::{Descriptor, DeviceTlb, Scope};
use siov_vtd::pasid::TranslationType;
use siov_vtd::queue::MOST_BLAMED;
use siov_vtd::{ContextEntry, ContextFlags, PasidEntry};

/// An address space that requests of one PASID are in.
struct Attachment {
    pasid: Pasid,
    space: Arc<Space>,
}

/// A function that a unit of ours translates.
#[pin_data]
pub(crate) struct Device {
    unit: UnitRef,
    pdev: ARef<pci::Device>,
    bdf: Bdf,
    group: SetOnce<ARef<Group>>,
    /// Every requester id of its DMA, its own first. None when its DMA carries those of
    /// `real_dma_device`.
    aliases: KVec<Bdf>,
    /// The function in whose name it does DMA, if it is not its own: nothing but that one's entries
    /// translates it, and the IOMMU core has both in one group.
    real_dma_device: Option<Bdf>,
    #[pin]
    table: PasidTable,
    /// With ATS on: how to address its TLB.
    tlb: Option<DeviceTlb>,
    /// An erratum of the function.
    takes_two_invalidations: bool,
    /// An invalidation of its TLB timed out or was lost: its context entry blocks its translated
    /// requests.
    tlb_blocked: AtomicBool,
    /// Its TLB is not invalidated any more, because it is blocked.
    tlb_skipped: AtomicBool,
    /// Time-outs that the unit gave no name to, and that were put down to this one, which has been
    /// removed.
    blamed: AtomicU32,
    /// PASIDs it may use; 0 when requests with PASID are off.
    max_pasids: u32,
    /// The paging domains that it is attached to, by rising PASID.
    #[pin]
    attached: Mutex<KVec<Attachment>>,
    faults: AtomicU64,
}

impl Requester for Device {
    fn requester_ids(&self) -> &[Bdf] {
        &self.aliases
    }
}

impl Device {
    /// The function `pdev` behind `unit`. Its requests stay as they are: the caller stores its
    /// context entries.
    pub(crate) fn new(unit: UnitRef, pdev: &Function<'_>) -> Result<Arc<Self>> {
        let real_dma_device = pdev.real_dma_device().map(|real| real.bdf());
        let mut aliases = KVec::new();
        let (mut max_pasids, mut tlb) = (0, None);
        if real_dma_device.is_none() {
            pdev.for_each_alias(|alias| {
                if !aliases.contains(&alias) {
                    aliases.push(alias, GFP_KERNEL)?;
                }
                Ok(())
            })?;
            max_pasids = Self::enable_pasid(&unit, pdev);
            tlb = Self::enable_ats(&unit, pdev);
        }
        let pasid_bits = max_pasids.checked_ilog2().unwrap_or(0) as u8;

        let memory = TableMemory {
            node: pdev.node(),
            coherent: unit.ecap().coherent(),
        };
        Arc::pin_init(
            try_pin_init!(Self {
                table <- PasidTable::new(memory, pasid_bits)?,
                bdf: pdev.bdf(),
                pdev: (&**pdev).into(),
                unit,
                group: SetOnce::new(),
                aliases,
                real_dma_device,
                tlb,
                takes_two_invalidations: {
                    let (vendor, device) = pdev.id();
                    errata::takes_two_invalidations(vendor, device)
                },
                tlb_blocked: AtomicBool::new(false),
                tlb_skipped: AtomicBool::new(false),
                blamed: AtomicU32::new(0),
                max_pasids,
                attached <- new_mutex!(KVec::new(), "vtd attached"),
                faults: AtomicU64::new(0),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Switches requests with PASID on where hardware allows it; the number of PASIDs.
    fn enable_pasid(unit: &Unit, pdev: &Function<'_>) -> u32 {
        let unit_bits = unit.ecap().pasid_bits();
        let max_pasids = pdev.max_pasids().min(1u32 << unit_bits);
        if unit_bits == 0 || max_pasids == 0 {
            return 0;
        }
        if let Err(e) = pdev.enable_pasid() {
            dev_warn!(pdev.as_dev(), "cannot enable PASID: {:?}\n", e);
            return 0;
        }
        max_pasids
    }

    /// Switches ATS on where firmware and hardware allow it. A function that a driver uses already
    /// keeps its requests as they are.
    fn enable_ats(unit: &Unit, pdev: &Function<'_>) -> Option<DeviceTlb> {
        if !unit.ecap().device_tlb()
            || !pdev.ats_supported()
            || !pdev.ats_page_aligned()
            || !unit.ats_allowed(pdev)
        {
            return None;
        }
        if pdev.prepare_ats().is_err() || pdev.is_bound() || pdev.enable_ats().is_err() {
            return None;
        }
        Some(DeviceTlb {
            source: pdev.bdf(),
            physical_function: if unit.ecap().device_tlb_throttle() {
                pdev.physical_function()
            } else {
                // Reserved where the unit does not limit invalidations per physical function.
                Bdf::from_raw(0)
            },
            queue_depth: pdev.ats_queue_depth(),
        })
    }

    /// The unit.
    pub(crate) fn unit(&self) -> &UnitRef {
        &self.unit
    }

    /// Its group; `None` until [`Self::set_group`].
    pub(crate) fn group(&self) -> Option<&Group> {
        self.group.as_ref().map(|group| &**group)
    }

    /// The function is in its group now.
    pub(crate) fn set_group(&self, function: &Function<'_>) {
        if let Some(group) = function.group() {
            // Once, when the function was probed.
            let _ = self.group.populate(group);
        }
    }

    /// The function.
    pub(crate) fn pci(&self) -> &pci::Device {
        &self.pdev
    }

    /// NUMA node.
    pub(crate) fn node(&self) -> numa::Node {
        self.pdev.node()
    }

    /// Its own requester id.
    pub(crate) fn bdf(&self) -> Bdf {
        self.bdf
    }

    /// PASIDs it may use; 0 when requests with PASID are off.
    pub(crate) fn max_pasids(&self) -> u32 {
        self.max_pasids
    }

    /// The function in whose name it does DMA, if it is not its own.
    pub(crate) fn real_dma_device(&self) -> Option<Bdf> {
        self.real_dma_device
    }

    /// Every requester id of its DMA; none when it does DMA in the name of
    /// [`Self::real_dma_device`].
    pub(crate) fn aliases(&self) -> &[Bdf] {
        &self.aliases
    }

    /// Its PASID table.
    pub(crate) fn table(&self) -> &PasidTable {
        &self.table
    }

    /// How to address its TLB; `None` without ATS.
    pub(crate) fn tlb(&self) -> Option<DeviceTlb> {
        self.tlb
            .filter(|_| !self.tlb_blocked.load(Ordering::Relaxed))
    }

    /// Blocks its translated requests; false when it has no TLB, or was blocked before. The caller
    /// stores its context entry, with the unit's devices locked, and calls [`Self::skip_tlb`] once
    /// it has seen to the unit being informed.
    pub(crate) fn block_tlb(&self) -> bool {
        self.tlb.is_some() && !self.tlb_blocked.swap(true, Ordering::Relaxed)
    }

    /// From now on, its TLB need not be invalidated if it is blocked.
    pub(crate) fn skip_tlb(&self) {
        if self.tlb_blocked.load(Ordering::Relaxed) {
            // Release: one who sees this sees that the unit has to be informed.
            self.tlb_skipped.store(true, Ordering::Release);
        }
    }

    /// Whether a time-out that the unit gives no name to is put down to this function: it has a TLB
    /// and has been removed, and there were not too many.
    pub(crate) fn takes_blame(&self) -> bool {
        self.tlb.is_some()
            && self.pdev.is_disconnected()
            && self.blamed.fetch_add(1, Ordering::Relaxed) < MOST_BLAMED
    }

    /// Number of paging domains that it is attached to.
    pub(crate) fn translated(&self) -> usize {
        self.attached.lock().len()
    }

    /// The paging domain that requests of `pasid` are translated by.
    pub(crate) fn space(&self, pasid: Pasid) -> Option<Arc<Space>> {
        let attached = self.attached.lock();
        let at = attached.binary_search_by_key(&pasid, |a| a.pasid).ok()?;
        attached.get(at).map(|a| a.space.clone())
    }

    /// Counts a fault.
    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Faults so far.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// The context entry for each of its requester ids.
    pub(crate) fn context_entry(&self) -> ContextEntry {
        let mut flags = ContextFlags::empty();
        flags.set(ContextFlags::PASIDE, self.max_pasids != 0);
        flags.set(ContextFlags::DTE, self.tlb().is_some());
        self.table.context_entry().with_flags(flags)
    }

    /// Adds an invalidation of its TLB, after a fence.
    pub(crate) fn push_tlb_invalidation(&self, queue: &mut Submission<'_>, descriptor: Descriptor) {
        queue.push(descriptor);
        if self.takes_two_invalidations {
            queue.fence();
            queue.push(descriptor);
        }
    }

    /// The descriptor that invalidates `scope` of `pasid` in its TLB; `None` without a TLB, and
    /// when the function has been removed: it would not answer.
    pub(crate) fn tlb_invalidation(&self, pasid: Pasid, scope: Scope) -> Option<Descriptor> {
        let tlb = self.tlb?;
        if self.tlb_skipped.load(Ordering::Acquire) || self.pdev.is_disconnected() {
            return None;
        }
        Some(if pasid == Pasid::NO_PASID {
            Descriptor::device_tlb(tlb, scope)
        } else {
            Descriptor::pasid_device_tlb(tlb, pasid, scope)
        })
    }

    /// Overrides no-snoop requests of `pasid`, while they are translated by a first stage.
    pub(crate) fn enforce_snoop(&self, pasid: Pasid) {
        let entry = self.table.get(pasid);
        self.table.set(pasid, entry.with_page_snoop(true));
        self.invalidate_entry(entry, pasid);
    }

    /// Translates requests of `pasid` by `space`. On error nothing has changed.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` and `ERANGE` for a PASID that the function does not have, `EINVAL` when the
    /// unit cannot walk the tables, `ENOSPC` without a domain id, `ENOMEM`.
    pub(crate) fn attach_paging(
        self: &Arc<Self>,
        space: &Arc<Space>,
        pasid: Pasid,
        was_paging: bool,
    ) -> Result {
        self.check(pasid)?;
        if self.real_dma_device.is_some() {
            return space.suits(&self.unit).then_some(()).ok_or(EINVAL);
        }
        // Memory first, so that nothing can fail once the hardware has been changed.
        self.attached.lock().reserve(1, GFP_KERNEL)?;
        let entry = space.link(self, pasid)?;
        self.replace(pasid, entry);
        self.unlink(pasid, was_paging);
        let attachment = Attachment {
            pasid,
            space: space.clone(),
        };
        let mut attached = self.attached.lock();
        let at = attached.partition_point(|a| a.pasid < pasid);
        let _ = attached.insert_within_capacity(at, attachment);
        Ok(())
    }

    /// Lets requests of `pasid` pass through. On error nothing has changed.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` and `ERANGE` for a PASID that the function does not have, `ENOMEM`.
    pub(crate) fn attach_identity(self: &Arc<Self>, pasid: Pasid, was_paging: bool) -> Result {
        self.check(pasid)?;
        if self.real_dma_device.is_some() {
            return Ok(());
        }
        self.replace(pasid, self.unit.pass_through_entry());
        self.unlink(pasid, was_paging);
        Ok(())
    }

    /// Blocks requests of `pasid`.
    pub(crate) fn attach_blocked(self: &Arc<Self>, pasid: Pasid, was_paging: bool) {
        if self.real_dma_device.is_some() {
            return;
        }
        if pasid == Pasid::NO_PASID && self.is_given_back() {
            // Its DMA must go on.
            let pass = self.unit.pass_through_entry();
            if self.table.get(pasid) != pass {
                self.replace(pasid, pass);
            }
        } else {
            self.tear_down(pasid);
        }
        self.unlink(pasid, was_paging);
    }

    /// Whether the unit is given up, and not the function, which nobody uses by the unit any more.
    pub(crate) fn is_given_back(&self) -> bool {
        !self.unit.is_registered()
    }

    /// Whether `pasid` may be attached, and memory for its entry.
    fn check(&self, pasid: Pasid) -> Result {
        if pasid != Pasid::NO_PASID {
            if self.max_pasids == 0 {
                return Err(eopnotsupp());
            }
            if pasid.raw() >= self.max_pasids {
                return Err(ERANGE);
            }
        }
        self.table.reserve(pasid)
    }

    /// Unlinks the space that `pasid` was attached to, if there was one: no entry points to it any
    /// more.
    fn unlink(self: &Arc<Self>, pasid: Pasid, was_paging: bool) {
        if !was_paging {
            return;
        }
        let attachment = {
            let mut attached = self.attached.lock();
            let at = attached.binary_search_by_key(&pasid, |a| a.pasid);
            at.ok().and_then(|at| attached.remove(at).ok())
        };
        if let Some(attachment) = attachment {
            attachment.space.unlink(self, pasid);
        }
    }

    /// Makes `entry` the one of `pasid`.
    fn replace(&self, pasid: Pasid, entry: PasidEntry) {
        // A function that passes through from before it was probed gets identity for its first
        // domain, and its DMA, which may be under way, must not be blocked in between.
        if self.table.get(pasid) == entry {
            return;
        }
        self.tear_down(pasid);
        self.table.set(pasid, entry);
        self.unit.entry_added(entry.domain_id(), pasid);
    }

    /// Tears down the entry of `pasid` and invalidates the caches, in the order of the
    /// specification's guidance (6.5.3.3): present bit, PASID cache, IOTLB, device-TLB, and only
    /// then the rest of the entry.
    fn tear_down(&self, pasid: Pasid) {
        let entry = self.table.get(pasid);
        if !entry.is_present() {
            return;
        }
        self.table.clear_present(pasid);
        self.invalidate_entry(entry, pasid);
        self.table.erase(pasid);
    }

    /// Invalidates what is cached of `entry`, the one of `pasid`.
    fn invalidate_entry(&self, entry: PasidEntry, pasid: Pasid) {
        let did = entry.domain_id();
        self.unit.submit(|queue| {
            if entry.translation_type() == Some(TranslationType::PassThrough) {
                // QEMU takes a function that passes through off its unit, and looks again only when
                // the context entry is invalidated; until then DMA would go past the new tables.
                for alias in &*self.aliases {
                    queue.push(Descriptor::context_cache_device(*alias));
                }
                queue.fence();
            }
            queue.push(Descriptor::pasid_cache_pasid(did, pasid));
            queue.fence();
            queue.push(match entry.translation_type() {
                Some(TranslationType::SecondStage | TranslationType::Nested) => {
                    Descriptor::iotlb_domain(did, self.unit.drain())
                }
                _ => Descriptor::pasid_iotlb_all(did, pasid),
            });
            if let Some(descriptor) = self.tlb_invalidation(pasid, Scope::Domain) {
                queue.fence();
                self.push_tlb_invalidation(queue, descriptor);
            }
        });
    }

    /// Switches off what [`Self::new`] switched on.
    pub(crate) fn release(&self, function: &Function<'_>) {
        if self.tlb.is_some() {
            function.disable_ats();
        }
        if self.max_pasids != 0 {
            function.disable_pasid();
        }
    }
}
