// SPDX-License-Identifier: GPL-2.0

//! Which devices have auxiliary domains, and which.

use crate::faults::Faults;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::aref::ARef;
use kernel::sync::{global_lock, Arc};
use linux::error::eopnotsupp;
use linux::iommu::{AnyDomain, DomainKey, GlobalPasid, GroupKey, PasidAttachment, Translated};
use siov_types::Pasid;

global_lock! {
    /// `None` before the module has started and after it has stopped.
    // SAFETY: `start` initialises it before any other function of this module can be called.
    unsafe(uninit) static REGISTRY: Mutex<Option<Registry>> = None;
}

/// All there is to know.
pub(crate) struct Registry {
    devices: KVec<Enabled>,
    domains: RBTree<DomainKey, Auxiliary>,
    faults: Arc<Faults>,
}

/// A device that was enabled since its driver was bound.
struct Enabled {
    dev: ARef<Device>,
    enabled: bool,
    /// Domains attached to it.
    domains: usize,
}

/// A domain that is attached in auxiliary mode.
struct Auxiliary {
    /// Dropped before the PASID, which may then have another domain.
    uses: KVec<Use>,
    pasid: GlobalPasid,
}

/// A domain's attachment to one device.
struct Use {
    dev: ARef<Device>,
    group: GroupKey,
    count: u32,
    /// The core attaches a domain to all devices of a group at once; one of them holds it.
    attachment: Option<PasidAttachment>,
}

pub(crate) fn start() -> Result {
    // SAFETY: Called once, by the module's init function; whoever links with the module's functions
    // waits until that has returned.
    unsafe { REGISTRY.init() };
    let registry = Registry {
        devices: KVec::new(),
        domains: RBTree::new(),
        faults: Faults::new()?,
    };
    *REGISTRY.lock() = Some(registry);
    Ok(())
}

pub(crate) fn stop() {
    let registry = REGISTRY.lock().take();
    drop(registry);
}

/// Calls `f` with the registry locked.
pub(crate) fn with<R>(f: impl FnOnce(&mut Registry) -> Result<R>) -> Result<R> {
    f(REGISTRY.lock().as_mut().ok_or(ENODEV)?)
}

/// Whether these are one device.
pub(crate) fn is(a: &Device, b: &Device) -> bool {
    core::ptr::eq(a, b)
}

/// Dropped when a device's driver is unbound.
pub(crate) struct UntilUnbound(ARef<Device>);

impl UntilUnbound {
    pub(crate) fn new(dev: &Device) -> Self {
        Self(dev.into())
    }
}

impl Drop for UntilUnbound {
    fn drop(&mut self) {
        let _ = with(|registry| {
            registry.forget(&self.0);
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
            domains: 0,
        };
        self.devices.push(device, GFP_KERNEL)?;
        Ok(())
    }

    pub(crate) fn disable(&mut self, dev: &Device) -> Result {
        let device = self.find_enabled(dev)?;
        if device.domains > 0 {
            return Err(EBUSY);
        }
        device.enabled = false;
        Ok(())
    }

    /// Ends all that a device has to do with auxiliary domains.
    fn forget(&mut self, dev: &Device) {
        let Some(at) = self.devices.iter().position(|d| is(&d.dev, dev)) else {
            return;
        };
        let left = self.devices.get(at).map_or(0, |d| d.domains);
        if left > 0 {
            dev_warn!(
                dev,
                "{} auxiliary domains were still attached when the driver went; detached\n",
                left
            );
            let mut cursor = self.domains.cursor_front_mut();
            while let Some(mut at) = cursor {
                let (_, domain) = at.current_mut();
                if domain.remove(dev) {
                    self.faults.forget(dev, domain.pasid.get());
                }
                cursor = if domain.uses.is_empty() {
                    at.remove_current().0
                } else {
                    at.move_next()
                };
            }
        }
        let _ = self.devices.remove(at);
    }

    pub(crate) fn attach(&mut self, domain: &AnyDomain, dev: &Device) -> Result {
        self.find_enabled(dev)?;
        if !domain.is_paging() {
            return Err(EINVAL);
        }
        if !domain.takes_pasids() {
            return Err(eopnotsupp());
        }
        let translated = Translated::new(dev).ok_or(ENODEV)?;
        match self.domains.get_mut(&domain.key()) {
            Some(auxiliary) => {
                if !auxiliary.attach(domain, dev, translated)? {
                    return Ok(());
                }
            }
            None => {
                let pasid = GlobalPasid::new(translated).ok_or(ENOSPC)?;
                let mut auxiliary = Auxiliary {
                    uses: KVec::new(),
                    pasid,
                };
                auxiliary.attach(domain, dev, translated)?;
                let node = RBTreeNode::new(domain.key(), auxiliary, GFP_KERNEL)?;
                self.domains.insert(node);
            }
        }
        let device = self.find_enabled(dev)?;
        device.domains = device.domains.saturating_add(1);
        Ok(())
    }

    pub(crate) fn detach(&mut self, domain: DomainKey, dev: &Device) -> Result {
        let auxiliary = self.domains.get_mut(&domain).ok_or(ENODEV)?;
        let at = auxiliary.find(dev).ok_or(ENODEV)?;
        if at.count > 1 {
            at.count -= 1;
            return Ok(());
        }
        auxiliary.remove(dev);
        self.faults.forget(dev, auxiliary.pasid.get());
        if auxiliary.uses.is_empty() {
            self.domains.remove(&domain);
        }
        if let Some(device) = self.find(dev) {
            device.domains = device.domains.saturating_sub(1);
        }
        Ok(())
    }

    /// The PASID of a domain.
    pub(crate) fn pasid(&self, domain: DomainKey) -> Option<Pasid> {
        self.domains.get(&domain).map(|d| d.pasid.get())
    }

    /// The PASID of a domain that is attached to `dev`.
    pub(crate) fn attached_pasid(&mut self, domain: DomainKey, dev: &Device) -> Result<Pasid> {
        let auxiliary = self.domains.get_mut(&domain).ok_or(ENODEV)?;
        auxiliary.find(dev).ok_or(ENODEV)?;
        Ok(auxiliary.pasid.get())
    }
}

impl Auxiliary {
    fn find(&mut self, dev: &Device) -> Option<&mut Use> {
        self.uses.iter_mut().find(|u| is(&u.dev, dev))
    }

    /// Whether this is the first attachment to `dev`.
    fn attach(&mut self, domain: &AnyDomain, dev: &Device, translated: Translated<'_>) -> Result<bool> {
        if let Some(at) = self.find(dev) {
            at.count = at.count.checked_add(1).ok_or(EOVERFLOW)?;
            return Ok(false);
        }
        self.uses.reserve(1, GFP_KERNEL)?;
        let group = translated.group();
        let pasid = self.pasid.get();
        let attachment = if self.uses.iter().any(|u| u.group == group) {
            None
        } else {
            Some(PasidAttachment::new(domain, translated, pasid)?)
        };
        let new = Use {
            dev: dev.into(),
            group,
            count: 1,
            attachment,
        };
        self.uses.push_within_capacity(new).map_err(|_| ENOMEM)?;
        Ok(true)
    }

    /// Ends the attachment to `dev`, however often it was made; whether there was one.
    fn remove(&mut self, dev: &Device) -> bool {
        let Some(at) = self.uses.iter().position(|u| is(&u.dev, dev)) else {
            return false;
        };
        let Ok(gone) = self.uses.remove(at) else {
            return false;
        };
        // Another device of the group keeps what the core attached to all of them.
        let heir = self.uses.iter_mut().find(|u| u.group == gone.group);
        if let (Some(heir), Some(attachment)) = (heir, gone.attachment) {
            heir.attachment = Some(attachment.hand_over(&heir.dev));
        }
        true
    }
}
