// SPDX-License-Identifier: GPL-2.0

//! One remapping unit: bringing it up without disturbing the DMA that is under way, and down again.

use crate::device::Device;
use crate::devices::DeviceList;
use crate::error::Failure;
use crate::faults::Faults;
use crate::firmware::Firmware;
use crate::pasid_table::PasidTable;
use crate::queue::{Queue, Submission};
use crate::registers::Registers;
use crate::root::RootTable;
use crate::stage::StageChoice;
use crate::sys::UnitDescription;
use crate::{sys, Vtd};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::id_pool::IdPool;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{new_mutex, Arc, Mutex};
use linux::iommu::driver::{self, Stage, TableMemory};
use linux::pci::{self, DeviceExt};
use linux::ratelimit::RateLimit;
use linux::{acpi, mmio, numa, Show};
use siov_types::{Bdf, DomainId, Pasid, PAGE_SIZE};
use siov_vtd::capability::register_span;
use siov_vtd::dmar;
use siov_vtd::errata;
use siov_vtd::invalidate::{Descriptor, Drain};
use siov_vtd::queue::{Devices, Recovery, Sources};
use siov_vtd::regs::{GlobalCommand, GlobalStatus, Reg32, Reg64, RootTableAddress};
use siov_vtd::{AddressWidth, Capability, ExtendedCapability, PasidEntry};

/// A unit, shared with the IOMMU core.
pub(crate) type UnitRef = Arc<driver::Unit<Vtd>>;

/// The domain id of all pass-through entries. 0 is what the hardware uses for entries that are not
/// present (VT-d spec, 6.1), so the first that can be used is 1.
const PASS_THROUGH: DomainId = DomainId::new(1);

/// The first domain id of paging domains.
const FIRST_DOMAIN_ID: usize = 2;

/// A remapping unit.
#[pin_data]
pub(crate) struct Unit {
    name: CString,
    firmware: Arc<Firmware>,
    description: UnitDescription,
    regs: Arc<Registers>,
    cap: Capability,
    ecap: ExtendedCapability,
    widest: AddressWidth,
    stage: StageChoice,
    /// Whether the devices that were there before this driver have been probed.
    settled: AtomicBool,
    /// Whether the queue has failed for good.
    broken: AtomicBool,
    /// Whether translation must never be switched off, by an erratum of its graphics device.
    stays_on: AtomicBool,
    #[pin]
    queue: Queue,
    #[pin]
    root: RootTable,
    /// What functions point to until they are probed: everything passes.
    #[pin]
    boot: PasidTable,
    #[pin]
    domain_ids: Mutex<IdPool>,
    domains: AtomicU32,
    /// Of what users of devices can provoke again and again.
    #[pin]
    limit: RateLimit,
    /// Of a queue that stands still and moves again and again.
    #[pin]
    broken_limit: RateLimit,
    devices: Arc<DeviceList<Device>>,
    faults: Arc<Faults>,
}

impl Unit {
    /// Takes the registers of the unit that firmware describes, checks that the hardware can do
    /// what this driver needs, and makes its tables. The hardware is only read.
    pub(crate) fn take_over(
        firmware: Arc<Firmware>,
        description: UnitDescription,
        name: CString,
        stage: StageChoice,
    ) -> Result<UnitRef, Failure> {
        let io = Self::claim(&description)?;
        let cap = Capability::from_raw(io.read64(Reg64::Cap.offset()));
        let ecap = ExtendedCapability::from_raw(io.read64(Reg64::Ecap.offset()));
        let status = GlobalStatus::from_bits_retain(io.read32(Reg32::Gsts.offset()));
        if status.intersects(GlobalStatus::DRIVEN) {
            return Err(Failure::AlreadyEnabled(status));
        }
        if status.contains(GlobalStatus::QIES) {
            pr_info!(
                "{}: queued invalidation left on by the previous kernel\n",
                &*name
            );
        }
        let widest = Self::check(cap, ecap)?;

        let memory = TableMemory {
            node: numa::Node::ANY,
            coherent: ecap.coherent(),
        };
        let regs = Arc::pin_init(Registers::new(io), GFP_KERNEL)?;
        let devices = Arc::pin_init(DeviceList::new(), GFP_KERNEL)?;
        let faults = Arc::pin_init(Faults::new(regs.clone(), cap), GFP_KERNEL)?;
        let boot = PasidTable::new(memory, 0)?;
        let root = RootTable::new(memory)?;
        // The unit reads the queue itself, which it always does coherently.
        let queue = Queue::new(
            regs.clone(),
            TableMemory {
                coherent: true,
                ..memory
            },
        )?;
        let ids = IdPool::with_capacity(cap.domain_ids() as usize, GFP_KERNEL)?;

        let unit: UnitRef = driver::Unit::new(
            try_pin_init!(Self {
                name,
                firmware,
                description,
                regs,
                cap,
                ecap,
                widest,
                stage,
                settled: AtomicBool::new(false),
                broken: AtomicBool::new(false),
                stays_on: AtomicBool::new(false),
                queue <- queue,
                root <- root,
                boot <- boot,
                domain_ids <- new_mutex!(ids, "vtd domain ids"),
                domains: AtomicU32::new(0),
                limit <- RateLimit::new(5, 10, c"vtd unit"),
                broken_limit <- RateLimit::new(60, 4, c"vtd unit"),
                devices,
                faults,
            }? Error),
            match ecap.pasid_bits() {
                0 => 0,
                bits => 1 << bits,
            },
        )?;
        unit.boot.reserve(Pasid::NO_PASID)?;
        unit.boot.set(Pasid::NO_PASID, unit.pass_through_entry());
        Ok(unit)
    }

    /// Claims and maps all registers: how many there are, the registers themselves say.
    fn claim(description: &UnitDescription) -> Result<mmio::Registers, Failure> {
        let claim = |len| {
            sys::claim(description, len).map_err(|e| match e {
                e if e == EBUSY => Failure::Claimed,
                e if e == ENOMEM => Failure::Unmapped,
                e => Failure::Kernel(e),
            })
        };
        let io = claim(description.len())?;
        let cap = io.read64(Reg64::Cap.offset());
        let ecap = io.read64(Reg64::Ecap.offset());
        if cap == u64::MAX && ecap == u64::MAX {
            return Err(Failure::Absent);
        }
        let span = register_span(
            Capability::from_raw(cap),
            ExtendedCapability::from_raw(ecap),
        );
        let needed = (span as u64).next_multiple_of(PAGE_SIZE);
        if needed <= description.len() {
            return Ok(io);
        }
        drop(io);
        claim(needed)
    }

    /// Whether the hardware has what this driver needs; the width of its widest tables.
    fn check(cap: Capability, ecap: ExtendedCapability) -> Result<AddressWidth, Failure> {
        let needs = [
            (ecap.scalable_mode(), "scalable mode (ECAP.SMTS)"),
            (ecap.queued_invalidation(), "queued invalidation (ECAP.QI)"),
            (ecap.pass_through(), "pass-through translation (ECAP.PT)"),
            (
                ecap.second_stage() || ecap.first_stage(),
                "page-table translation in scalable mode (ECAP.SSTS, ECAP.FSTS)",
            ),
        ];
        for (has, what) in needs {
            if !has {
                return Err(Failure::Lacks(what));
            }
        }
        cap.widest()
            .ok_or(Failure::Lacks("supported address width (CAP.SAGAW)"))
    }

    /// Makes the unit translate, with everything passing through: first the tables, then the queue,
    /// then translation, so that DMA that is under way is never blocked.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let (mut hangs, mut others) = (false, false);
        for pdev in pci::devices() {
            if self.firmware.unit_of(&pdev) == Some(self.description.index()) {
                let (vendor, device) = pdev.id();
                let base_class = (pdev.class() >> 16) as u8;
                if errata::hangs_untranslated(vendor, device, base_class) {
                    hangs = true;
                } else {
                    others = true;
                }
                let entry = self.boot.context_entry();
                pdev.for_each_alias(|alias| {
                    self.root.reserve(alias)?;
                    self.root.set(alias, entry);
                    Ok(())
                })?;
            }
        }
        let stays_on = hangs && !others && !self.drain().is_empty();
        self.stays_on.store(stays_on, Ordering::Relaxed);
        self.let_namespace_devices_pass()?;
        self.enable()
    }

    /// Whether the unit cannot be switched off.
    pub(crate) fn stays_on(&self) -> bool {
        self.stays_on.load(Ordering::Relaxed)
    }

    /// Devices that firmware names by their ACPI objects are no PCI functions, and have no IOMMU of
    /// the core's: their requests pass through as long as the unit translates.
    fn let_namespace_devices_pass(&self) -> Result<(), Failure> {
        let (name, index) = (&*self.name, self.description.index());
        self.firmware
            .for_each_namespace_device(index, |bdf, device| {
                let (object, bdf) = (Show(dmar::Name(device.name)), Show(bdf));
                if let Some(pdev) = self.firmware.function_at(index, bdf.0) {
                    let pdev = Show(pci::Name(&pdev));
                    pr_warn!("{name}: ACPI device {object}: its DMA is that of {pdev}\n");
                    return Ok(());
                }
                if !acpi::has_object(device.name)? {
                    pr_warn!(
                        "{name}: ACPI device {object} does not exist: DMA of {bdf} is blocked\n"
                    );
                    return Ok(());
                }
                self.root.reserve(bdf.0)?;
                self.root.set(bdf.0, self.boot.context_entry());
                pr_info!("{name}: ACPI device {object}: DMA of {bdf} passes untranslated\n");
                Ok(())
            })?;
        Ok(())
    }

    /// Switches the unit on with the tables there are; also after sleep.
    pub(crate) fn enable(&self) -> Result<(), Failure> {
        let on = self.regs.status();
        if on.contains(GlobalStatus::TES) {
            // It stays on, and the machine did not lose power.
            return Ok(());
        }
        self.faults.clear();
        self.regs.disable_protected_memory()?;
        if on.contains(GlobalStatus::QIES) {
            self.queue.disable()?;
        }
        self.queue.enable()?;
        self.regs.write64(
            Reg64::Rtaddr,
            RootTableAddress::scalable(self.root.phys()).raw(),
        );
        self.regs.command(GlobalCommand::SRTP, true)?;
        // Units with ESRTPS have done this on their own.
        if !self.cap.enhanced_set_root() {
            self.invalidate_all()?;
        }
        self.regs.command(GlobalCommand::TE, true)
    }

    /// Switches the unit off: requests pass untranslated, as before the driver was loaded.
    ///
    /// A unit that cannot be switched off stays as it is.
    pub(crate) fn disable(&self) -> Result<(), Failure> {
        if self.stays_on() {
            return Ok(());
        }
        self.stop_translating()?;
        self.queue.disable()
    }

    /// Lets requests pass untranslated; invalidations work as before. A unit that cannot be
    /// switched off stays as it is.
    pub(crate) fn stop_translating(&self) -> Result<(), Failure> {
        if self.stays_on() {
            return Ok(());
        }
        self.regs.command(GlobalCommand::TE, false)
    }

    /// Name, as in `/sys/class/iommu`.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// Position in the DMAR table.
    pub(crate) fn index(&self) -> usize {
        self.description.index()
    }

    /// What firmware says.
    pub(crate) fn firmware(&self) -> &Firmware {
        &self.firmware
    }

    /// Capability register.
    #[inline]
    pub(crate) fn cap(&self) -> Capability {
        self.cap
    }

    /// Extended capability register.
    #[inline]
    pub(crate) fn ecap(&self) -> ExtendedCapability {
        self.ecap
    }

    /// Registers.
    pub(crate) fn regs(&self) -> &Registers {
        &self.regs
    }

    /// Invalidation queue.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Root table.
    pub(crate) fn root(&self) -> &RootTable {
        &self.root
    }

    /// Faults.
    pub(crate) fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// The functions that send requests through the unit.
    pub(crate) fn devices(&self) -> &Arc<DeviceList<Device>> {
        &self.devices
    }

    /// The stage that translates paging domains.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the unit does not have the stage that was asked for.
    pub(crate) fn stage(&self) -> Result<Stage> {
        self.stage.of(self.ecap)
    }

    /// Physical address bits of the machine.
    pub(crate) fn host_address_bits(&self) -> u8 {
        self.firmware.host_address_bits()
    }

    /// What IOTLB invalidations can wait for.
    #[inline]
    pub(crate) fn drain(&self) -> Drain {
        self.cap.drain()
    }

    /// Largest block of a page-selective invalidation.
    #[inline]
    pub(crate) fn max_address_mask(&self) -> Option<u8> {
        self.cap.max_address_mask()
    }

    /// Whether firmware allows ATS for `pdev`.
    pub(crate) fn ats_allowed(&self, pdev: &pci::Device) -> bool {
        !pdev.is_untrusted() && self.firmware.ats_allowed(pdev)
    }

    /// The PASID entry that lets requests through.
    pub(crate) fn pass_through_entry(&self) -> PasidEntry {
        PasidEntry::pass_through(PASS_THROUGH, self.widest)
    }

    /// Domain ids in use by paging domains.
    pub(crate) fn domains(&self) -> u32 {
        self.domains.load(Ordering::Relaxed)
    }

    /// A domain id that is not in use.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there is none.
    pub(crate) fn alloc_domain_id(&self) -> Result<DomainId> {
        let mut ids = self.domain_ids.lock();
        let Some(id) = ids.find_unused_id(FIRST_DOMAIN_ID) else {
            if self.limit.allows() {
                pr_err!("{}: no domain id left\n", &*self.name);
            }
            return Err(ENOSPC);
        };
        let id = u16::try_from(id.acquire()).map_err(|_| ENOSPC)?;
        self.domains.fetch_add(1, Ordering::Relaxed);
        Ok(DomainId::new(id))
    }

    /// Frees a domain id that no cache holds any more.
    pub(crate) fn free_domain_id(&self, did: DomainId) {
        self.domain_ids.lock().release_id(did.raw().into());
        self.domains.fetch_sub(1, Ordering::Relaxed);
    }

    /// Points the requester ids of `device` to its own PASID table. Those that passed until now
    /// pass on, without a gap: that is how its table starts.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the requester id of `device` is that of another function already: an entry
    /// that has an owner stays as it is. `ENOMEM`.
    pub(crate) fn add_device(&self, device: &Arc<Device>) -> Result {
        if device.real_dma_device().is_some() {
            return self.devices.add(device);
        }
        if let Some(other) = self.owner(device.bdf(), device) {
            if other.bdf() == device.bdf() {
                dev_err!(
                    device.pci().as_dev(),
                    "requester id {} belongs to {} already\n",
                    Show(device.bdf()),
                    Show(pci::Name(other.pci()))
                );
                return Err(EEXIST);
            }
        }
        device.table().reserve(Pasid::NO_PASID)?;
        for alias in device.aliases() {
            self.root.reserve(*alias)?;
        }
        // What its requests were translated by until now goes on: the tables of boot, or those of
        // another function whose requests carry the same id.
        let until_now = if self.root.get(device.bdf()) == self.boot.context_entry() {
            self.pass_through_entry()
        } else {
            self.devices
                .find(device.bdf())
                .map_or(PasidEntry::EMPTY, |other| {
                    other.table().get(Pasid::NO_PASID)
                })
        };
        if until_now.is_present() {
            device.table().set(Pasid::NO_PASID, until_now);
        }
        self.devices.add(device)?;
        let mut replaced = false;
        for alias in device.aliases() {
            // A requester id that several functions share belongs to the first: they are in one
            // group, and have the same domain.
            if *alias != device.bdf() && self.owner(*alias, device).is_some() {
                continue;
            }
            replaced |= self.set_entry(*alias, device);
        }
        if replaced || self.cap.caching_mode() {
            self.invalidate_context(device);
        } else {
            self.flush_write_buffer();
        }
        Ok(())
    }

    /// Clears the context entries of `device`, or lets its requests pass when the unit is given up.
    /// Its PASID table may be freed after this.
    pub(crate) fn remove_device(&self, device: &Arc<Device>) {
        let removed = self.devices.remove(device);
        // A fault of the device may be in the middle of being reported, in interrupt context.
        self.faults.wait_for_reports();
        drop(removed);
        if device.real_dma_device().is_some() {
            return;
        }
        for alias in device.aliases() {
            match self.owner(*alias, device) {
                // Another function below the same bridge.
                Some(other) => {
                    self.set_entry(*alias, &other);
                }
                _ if device.is_given_back() => {
                    self.root.set(*alias, self.boot.context_entry());
                }
                _ => self.root.clear(*alias),
            }
        }
        self.invalidate_context(device);
    }

    /// Points `alias` to the table of `device`; says whether there was an entry. Not while
    /// [`Devices::block`] changes what the entry is to say.
    fn set_entry(&self, alias: Bdf, device: &Device) -> bool {
        self.devices
            .locked(|| self.root.set(alias, device.context_entry()))
    }

    /// Another function that has requester id `alias`.
    fn owner(&self, alias: Bdf, not: &Arc<Device>) -> Option<Arc<Device>> {
        self.devices
            .find(alias)
            .filter(|found| !Arc::ptr_eq(found, not))
    }

    /// Invalidates the context entries of `device`, and all that was cached through them.
    fn invalidate_context(&self, device: &Device) {
        self.submit(|queue| {
            for alias in device.aliases() {
                queue.push(Descriptor::context_cache_device(*alias));
            }
            queue.fence();
            queue.push(Descriptor::pasid_cache_global());
            queue.fence();
            queue.push(Descriptor::iotlb_global(self.drain()));
        });
    }

    /// A PASID entry was added where there was none: only units that cache entries which are not
    /// present need an invalidation.
    pub(crate) fn entry_added(&self, did: DomainId, pasid: Pasid) {
        if self.cap.caching_mode() {
            self.submit(|queue| {
                queue.push(Descriptor::pasid_cache_pasid(did, pasid));
                queue.fence();
                queue.push(Descriptor::pasid_iotlb_all(did, pasid));
            });
        } else {
            self.flush_write_buffer();
        }
    }

    /// For chipsets that buffer writes: makes table entries visible to the unit.
    pub(crate) fn flush_write_buffer(&self) {
        if self.cap.required_write_buffer_flush() {
            if let Err(failure) = self.regs.flush_write_buffer() {
                self.fail(failure);
            }
        }
    }

    /// Carries out the invalidations that `fill` adds, and waits for them, for a bounded time. When
    /// the queue loses them to errors, everything is invalidated instead.
    #[inline]
    pub(crate) fn submit(&self, fill: impl FnMut(&mut Submission<'_>)) {
        if let Err(recovery) = self.queue.invalidate(self, fill) {
            self.report_recovery(recovery);
        }
    }

    #[cold]
    fn report_recovery(&self, recovery: Recovery) {
        if !self.broken.load(Ordering::Relaxed) && self.limit.allows() {
            pr_err!(
                "{}: {}; falling back to global invalidation\n",
                &*self.name,
                Show(recovery.errors)
            );
        }
        match recovery.failed {
            None => self.broken.store(false, Ordering::Relaxed),
            Some(errors) => self.fail(errors.into()),
        }
    }

    /// Invalidates all that the unit has cached.
    fn invalidate_all(&self) -> Result<(), Failure> {
        let recovery = self.queue.invalidate(self, |queue| {
            queue.push(Descriptor::context_cache_global());
            queue.fence();
            queue.push(Descriptor::pasid_cache_global());
            queue.fence();
            queue.push(Descriptor::iotlb_global(self.drain()));
        });
        match recovery {
            Err(Recovery {
                failed: Some(errors),
                ..
            }) => Err(errors.into()),
            _ => Ok(()),
        }
    }

    /// The unit does not carry out commands or invalidations any more.
    #[cold]
    fn fail(&self, failure: Failure) {
        if !self.broken.swap(true, Ordering::Relaxed) && self.broken_limit.allows() {
            pr_emerg!(
                "{}: {}: IOTLB may be stale until the queue resumes: reboot if it does not\n",
                &*self.name,
                failure
            );
        }
    }

    /// Whether the devices that were there before this driver have been probed.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// The devices that were there before this driver have been probed.
    pub(crate) fn set_settled(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Logs what the unit is and can do.
    pub(crate) fn announce(&self) {
        let mut devices = 0;
        self.devices.for_each(|_| devices += 1);
        pr_info!(
            "{} at {}: {} functions, {}-bit addresses,{}{} stage, {} PASID bits{}{}\n",
            &*self.name,
            Show(self.regs.phys()),
            devices,
            self.widest.bits(),
            if self.ecap.first_stage() {
                " first"
            } else {
                ""
            },
            if self.ecap.second_stage() {
                " second"
            } else {
                ""
            },
            self.ecap.pasid_bits(),
            if self.ecap.device_tlb() { ", ATS" } else { "" },
            if self.ecap.page_walk_coherent() {
                ""
            } else {
                ", non-coherent page walks"
            },
        );
    }
}

impl Devices for Unit {
    fn block(&self, sources: &Sources) -> bool {
        const MOST_LINES: usize = 8;
        let mut lines: [Option<(Bdf, bool)>; MOST_LINES] = [None; MOST_LINES];
        let (mut failure, mut count) = (false, 0);
        let unnamed = sources.iter().any(|source| source.is_none());
        let mut was_removed = false;
        if unnamed {
            self.devices
                .for_each_locked(|device| was_removed |= device.takes_blame());
        }
        self.devices.for_each_locked(|device| {
            let named = sources.named().any(|source| source == device.bdf());
            // The PCI core need not know it yet.
            let removed = device.pci().is_disconnected() || (named && !device.pci().is_present());
            let hit = named || (unnamed && (removed || !was_removed));
            failure |= hit && !removed;
            if hit && device.block_tlb() {
                for alias in device.aliases() {
                    self.root.set(*alias, device.context_entry());
                }
                if let Some(line) = lines.get_mut(count) {
                    *line = Some((device.bdf(), removed));
                }
                count += 1;
            }
        });
        // Not with the list locked.
        for (bdf, removed) in lines.iter().flatten() {
            if *removed {
                pr_info!(
                    "{}: {}: removed, its TLB is not invalidated any more\n",
                    &*self.name,
                    Show(bdf)
                );
            } else {
                pr_err!(
                    "{}: {}: device-TLB invalidation failed: ATS disabled until re-plug\n",
                    &*self.name,
                    Show(bdf)
                );
            }
        }
        if count > MOST_LINES {
            pr_err!(
                "{}: ATS disabled for {} devices in all\n",
                &*self.name,
                count
            );
        }
        failure
    }

    fn skip_blocked(&self) {
        self.devices.for_each_locked(|device| device.skip_tlb());
    }

    fn has_tlb(&self, source: Bdf) -> bool {
        let mut has_tlb = false;
        self.devices.for_each_locked(|device| {
            let usable = device.tlb().is_some() && !device.pci().is_disconnected();
            has_tlb |= device.bdf() == source && usable;
        });
        has_tlb
    }

    fn drain(&self) -> Drain {
        self.cap.drain()
    }
}
