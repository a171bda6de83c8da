// SPDX-License-Identifier: GPL-2.0

//! Registry of enabled devices and their auxiliary domains.

use super::faults::{is, Faults};
use core::iter;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{global_lock, Arc};
use linux::iommu::{AnyDomain, DomainKey, GlobalPasid, IommuDevice, PasidAttachment};
use linux::module::Reference;
use siov_hash_table::{self as table, Keyed};
use siov_types::Pasid;

global_lock! {
    /// `None` before the module has started and after it has stopped.
    // SAFETY: `start` initialises it, and `with` does not use it before.
    unsafe(uninit) static REGISTRY: Mutex<Option<Registry>> = None;
}

/// Whether the lock is initialised. The driver may be built with another type for its module, and C
/// code call it all the same.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Global state, protected by `REGISTRY`.
pub(crate) struct Registry {
    /// A hash table of `attached` entries. Dropped before the devices that they are attached to.
    domains: KVec<Option<Auxiliary>>,
    devices: KVec<Enabled>,
    attached: usize,
    /// The PASID that was given back last, while a device is enabled: most often the next domain
    /// takes it, and getting one from the kernel's table costs about as much as all else that is
    /// done here.
    spare: Option<GlobalPasid>,
    faults: Arc<Faults>,
    /// Bindings of drivers until now.
    bindings: u64,
}

/// A device that was enabled since its driver was bound.
struct Enabled {
    dev: ARef<Device>,
    enabled: bool,
    /// The number of this binding.
    binding: u64,
}

/// A domain that is attached in auxiliary mode.
struct Auxiliary {
    key: DomainKey,
    first: Use,
    others: KVec<Use>,
    pasid: GlobalPasid,
}

/// A domain's attachment to one device.
struct Use {
    attachment: PasidAttachment,
    count: u32,
}

impl Keyed for Auxiliary {
    fn key(&self) -> u64 {
        self.key.get() as u64
    }
}

/// Begins with no device enabled.
///
/// # Safety
///
/// Called once.
pub(super) unsafe fn start() -> Result {
    // SAFETY: As required of us.
    unsafe { REGISTRY.init() };
    let registry = Registry {
        devices: KVec::new(),
        domains: KVec::new(),
        attached: 0,
        spare: None,
        faults: Faults::new()?,
        bindings: 0,
    };
    *REGISTRY.lock() = Some(registry);
    STARTED.store(true, Ordering::Release);
    Ok(())
}

pub(super) fn stop() {
    let registry = REGISTRY.lock().take();
    drop(registry);
}

/// Calls `f` with the registry locked.
pub(crate) fn with<R>(f: impl FnOnce(&mut Registry) -> Result<R>) -> Result<R> {
    if !STARTED.load(Ordering::Acquire) {
        return Err(ENODEV);
    }
    f(REGISTRY.lock().as_mut().ok_or(ENODEV)?)
}

/// Dropped when a device's driver is unbound.
pub(crate) struct UntilUnbound {
    dev: ARef<Device>,
    // Its driver may be one of another module, which does not depend on this one.
    _module: Reference,
}

impl UntilUnbound {
    /// # Errors
    ///
    /// `ENODEV` when this module is being unloaded.
    pub(crate) fn new(dev: &Device) -> Result<Self> {
        Ok(Self {
            dev: dev.into(),
            _module: Reference::new()?,
        })
    }
}

impl Drop for UntilUnbound {
    fn drop(&mut self) {
        let _ = with(|registry| {
            registry.remove_device(&self.dev);
            Ok(())
        });
    }
}

impl Registry {
    pub(crate) fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    fn find(&mut self, dev: &Device) -> Option<&mut Enabled> {
        self.devices.iter_mut().find(|d| is(&d.dev, dev))
    }

    fn find_enabled(&mut self, dev: &Device) -> Result<&mut Enabled> {
        self.find(dev).filter(|d| d.enabled).ok_or(ENODEV)
    }

    /// Enables a device that had been enabled before under this driver; whether it had.
    pub(crate) fn enable_again(&mut self, dev: &Device) -> Result<bool> {
        match self.find(dev) {
            None => Ok(false),
            Some(device) if device.enabled => Err(EBUSY),
            Some(device) => {
                device.enabled = true;
                Ok(true)
            }
        }
    }

    pub(crate) fn enable(&mut self, dev: &Device) -> Result {
        // Two may have tried at the same time.
        if self.enable_again(dev)? {
            return Ok(());
        }
        let device = Enabled {
            dev: dev.into(),
            enabled: true,
            // There is not the time for so many.
            binding: self.bindings.wrapping_add(1),
        };
        self.devices.push(device, GFP_KERNEL)?;
        self.bindings = self.bindings.wrapping_add(1);
        Ok(())
    }

    /// The number of the binding in which a device is enabled.
    pub(crate) fn binding(&mut self, dev: &Device) -> Result<u64> {
        Ok(self.find_enabled(dev)?.binding)
    }

    /// # Errors
    ///
    /// `ENODEV` if a device is not enabled, or in another binding.
    pub(crate) fn check_binding(&mut self, dev: &Device, binding: u64) -> Result {
        let is_it = self.binding(dev)? == binding;
        is_it.then_some(()).ok_or(ENODEV)
    }

    pub(crate) fn disable(&mut self, dev: &Device) -> Result {
        self.find_enabled(dev)?;
        if self.domains.iter().any(|d| has_use(d, dev)) {
            return Err(EBUSY);
        }
        self.find_enabled(dev)?.enabled = false;
        self.release_spare();
        Ok(())
    }

    /// Gives the spare PASID back when no device is enabled any more.
    fn release_spare(&mut self) {
        if !self.devices.iter().any(|d| d.enabled) {
            self.spare = None;
        }
    }

    fn take_pasid(&mut self, dev: IommuDevice<'_>) -> Result<GlobalPasid> {
        match self.spare.take() {
            Some(spare) if spare.get().raw() < dev.max_pasids() => Ok(spare),
            other => {
                self.spare = other;
                GlobalPasid::new(dev).ok_or(ENOSPC)
            }
        }
    }

    /// Detaches all auxiliary domains of a device, and disables it.
    fn remove_device(&mut self, dev: &Device) {
        let Some(at) = self.devices.iter().position(|d| is(&d.dev, dev)) else {
            return;
        };
        let left = self.domains.iter().filter(|d| has_use(d, dev)).count();
        if left > 0 {
            dev_warn!(
                dev,
                "driver unbound with {} auxiliary domains attached; detaching\n",
                left
            );
            // Removing moves entries back to before the slot, and round the end: again until none
            // is left.
            while let Some(at) = self.domains.iter().position(|d| has_use(d, dev)) {
                self.end(at, dev);
            }
        }
        let _ = self.devices.remove(at);
        self.release_spare();
    }

    /// Makes room for one more domain.
    #[inline]
    fn reserve(&mut self) -> Result {
        if table::has_room(self.domains.len(), self.attached) {
            return Ok(());
        }
        self.grow()
    }

    #[cold]
    fn grow(&mut self) -> Result {
        const LEAST: usize = 16;
        // A power of two, as the one before.
        let slots = self.domains.len().saturating_mul(2).max(LEAST);
        let mut larger = KVec::with_capacity(slots, GFP_KERNEL)?;
        for _ in 0..slots {
            larger.push_within_capacity(None).map_err(|_| ENOMEM)?;
        }
        for domain in self.domains.drain_all().flatten() {
            // There is room for all.
            let _ = table::insert(&mut larger, domain);
        }
        self.domains = larger;
        Ok(())
    }

    fn find_domain(&self, key: DomainKey) -> Option<usize> {
        table::find(&self.domains, key.get() as u64)
    }

    fn domain(&self, key: DomainKey) -> Option<&Auxiliary> {
        self.domains.get(self.find_domain(key)?)?.as_ref()
    }

    fn domain_at(&mut self, at: usize) -> Result<&mut Auxiliary> {
        self.domains
            .get_mut(at)
            .and_then(Option::as_mut)
            .ok_or(ENODEV)
    }

    /// Attaches `domain` to `dev`.
    ///
    /// # Errors
    ///
    /// `ENODEV` for a device that is not enabled, `EINVAL` for a domain without page tables,
    /// `ENOSPC` without a PASID, `EOVERFLOW`, `ENOMEM`, and those of the IOMMU core.
    ///
    /// # Safety
    ///
    /// The domain is not freed before it has been detached as often, or the device's driver was
    /// unbound.
    #[inline(always)]
    pub(crate) unsafe fn attach(&mut self, domain: &AnyDomain, dev: &Device) -> Result {
        self.find_enabled(dev)?;
        if !domain.is_paging() {
            return Err(EINVAL);
        }
        // SAFETY: The device is enabled, so its driver is bound, and with it the device has its
        // IOMMU; when the driver is unbound, the registry, which is locked, is asked to remove the
        // device first.
        let iommu = unsafe { IommuDevice::from_device(dev) }.ok_or(ENODEV)?;
        match self.find_domain(domain.key()) {
            Some(at) => {
                // SAFETY: As required of us.
                unsafe { self.domain_at(at)?.attach(domain, iommu) }?;
            }
            None => {
                self.reserve()?;
                let pasid = self.take_pasid(iommu)?;
                // SAFETY: As required of us: it is dropped when the domain is detached, or the
                // driver unbound; `devices` has a reference to the device for longer.
                let attachment = unsafe { PasidAttachment::new(domain, iommu, pasid.get()) }?;
                let auxiliary = Auxiliary {
                    key: domain.key(),
                    first: Use::new(attachment),
                    others: KVec::new(),
                    pasid,
                };
                table::insert(&mut self.domains, auxiliary).map_err(|_| ENOMEM)?;
                self.attached += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn detach(&mut self, domain: DomainKey, dev: &Device) -> Result {
        let at = self.find_domain(domain).ok_or(ENODEV)?;
        let found = self.domain_at(at)?.find(dev).ok_or(ENODEV)?;
        if found.count > 1 {
            found.count -= 1;
            return Ok(());
        }
        self.end(at, dev);
        Ok(())
    }

    /// Ends the attachment of the domain in this slot to `dev`, however often it was made.
    fn end(&mut self, at: usize, dev: &Device) {
        let Ok(domain) = self.domain_at(at) else {
            return;
        };
        if !domain.others.is_empty() {
            domain.remove(dev);
            let pasid = domain.pasid.get();
            self.faults.drop_handlers(dev, pasid);
            return;
        }
        let Some(gone) = table::remove(&mut self.domains, at) else {
            return;
        };
        self.attached = self.attached.saturating_sub(1);
        drop(gone.first);
        // Before the PASID can have another domain.
        self.faults.drop_handlers(dev, gone.pasid.get());
        self.spare = Some(gone.pasid);
    }

    /// The PASID of a domain.
    pub(crate) fn pasid(&self, domain: DomainKey) -> Option<Pasid> {
        self.domain(domain).map(|d| d.pasid.get())
    }

    /// The PASID of a domain that is attached to `dev`.
    pub(crate) fn attached_pasid(&mut self, domain: DomainKey, dev: &Device) -> Result<Pasid> {
        let at = self.find_domain(domain).ok_or(ENODEV)?;
        let domain = self.domain_at(at)?;
        domain.find(dev).ok_or(ENODEV)?;
        Ok(domain.pasid.get())
    }
}

fn has_use(domain: &Option<Auxiliary>, dev: &Device) -> bool {
    domain
        .as_ref()
        .is_some_and(|d| d.uses().any(|u| is(u.dev(), dev)))
}

impl Use {
    fn new(attachment: PasidAttachment) -> Self {
        Self {
            attachment,
            count: 1,
        }
    }

    fn dev(&self) -> &Device {
        self.attachment.device()
    }
}

impl Auxiliary {
    fn uses(&self) -> impl Iterator<Item = &Use> {
        Iterator::chain(iter::once(&self.first), &self.others)
    }

    #[inline]
    fn find(&mut self, dev: &Device) -> Option<&mut Use> {
        if is(self.first.dev(), dev) {
            return Some(&mut self.first);
        }
        self.others.iter_mut().find(|u| is(u.dev(), dev))
    }

    /// Attaches another device, which is enabled, or the same once more.
    ///
    /// # Safety
    ///
    /// As for [`Registry::attach`].
    unsafe fn attach(&mut self, domain: &AnyDomain, dev: IommuDevice<'_>) -> Result {
        if let Some(at) = self.find(dev.device()) {
            at.count = at.count.checked_add(1).ok_or(EOVERFLOW)?;
            return Ok(());
        }
        self.others.reserve(1, GFP_KERNEL)?;
        // SAFETY: As required of us: it is dropped when the domain is detached, or the driver
        // unbound; the registry's `devices` has a reference to the device for longer.
        let attachment = unsafe { PasidAttachment::new(domain, dev, self.pasid.get()) }?;
        self.others
            .push_within_capacity(Use::new(attachment))
            .map_err(|_| ENOMEM)?;
        Ok(())
    }

    /// Ends the attachment to `dev`, which is not the only one.
    fn remove(&mut self, dev: &Device) {
        if is(self.first.dev(), dev) {
            if let Some(other) = self.others.pop() {
                self.first = other;
            }
        } else {
            self.others.retain(|u| !is(u.dev(), dev));
        }
    }
}
