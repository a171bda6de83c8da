// SPDX-License-Identifier: GPL-2.0

//! The functions of `include/linux/iommu-aux.h`, which documents them.

use crate::faults::{Handler, HandlerFn};
use crate::registry::{self, with, Registry};
use core::ffi::c_int;
use kernel::device::Device;
use kernel::devres;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::error::eopnotsupp;
use linux::ffi::{Argument, Cookie};
use linux::iommu::{AnyDomain, Translated};

fn errno(result: Result) -> c_int {
    result.map_or_else(|e| e.to_errno(), |()| 0)
}

fn is_capable(dev: &Device) -> bool {
    Translated::new(dev).is_some_and(Translated::has_pasid_domains)
}

fn enable(dev: &Device) -> Result {
    let bound = linux::device::bound(dev).ok_or(ENODEV)?;
    if with(|registry| registry.enable_again(dev))? {
        return Ok(());
    }
    if !is_capable(dev) {
        return Err(eopnotsupp());
    }
    devres::register(bound, registry::UntilUnbound::new(dev), GFP_KERNEL)?;
    with(|registry| registry.enable(dev))
}

/// `IOMMU_CAP_AUX_DOMAIN` of a device.
#[no_mangle]
pub(crate) extern "C" fn iommu_aux_capable(dev: Argument<Device>) -> bool {
    dev.get().is_ok_and(is_capable)
}

/// Lets a device have auxiliary domains.
#[no_mangle]
pub(crate) extern "C" fn iommu_enable_aux_domain(dev: Argument<Device>) -> c_int {
    errno(dev.get().and_then(enable))
}

/// Undoes [`iommu_enable_aux_domain`].
#[no_mangle]
pub(crate) extern "C" fn iommu_disable_aux_domain(dev: Argument<Device>) -> c_int {
    errno(
        dev.get()
            .and_then(|dev| with(|registry| registry.disable(dev))),
    )
}

/// Attaches a domain in auxiliary mode.
#[no_mangle]
pub(crate) extern "C" fn iommu_aux_attach_device(
    domain: Argument<AnyDomain>,
    dev: Argument<Device>,
) -> c_int {
    let attach = || {
        let (domain, dev) = (domain.get()?, dev.get()?);
        with(|registry| registry.attach(domain, dev))
    };
    errno(attach())
}

/// Undoes one [`iommu_aux_attach_device`].
#[no_mangle]
pub(crate) extern "C" fn iommu_aux_detach_device(
    domain: Argument<AnyDomain>,
    dev: Argument<Device>,
) {
    let (Ok(domain), Ok(dev)) = (domain.get(), dev.get()) else {
        pr_err!("detach: no domain or no device\n");
        return;
    };
    if with(|registry| registry.detach(domain.key(), dev)).is_err() {
        dev_err!(
            dev,
            "detach: this domain is not attached in auxiliary mode\n"
        );
    }
}

/// The PASID of a domain.
#[no_mangle]
pub(crate) extern "C" fn iommu_auxiliary_id(domain: Argument<AnyDomain>) -> c_int {
    let id = || {
        let key = domain.get()?.key();
        with(|registry| registry.pasid(key).ok_or(ENODEV))
    };
    // PASIDs have 20 bits.
    id().map_or_else(|e| e.to_errno(), |pasid| pasid.raw() as c_int)
}

/// Tells `handler` of blocked requests.
#[no_mangle]
pub(crate) extern "C" fn iommu_aux_register_fault_handler(
    domain: Argument<AnyDomain>,
    dev: Argument<Device>,
    handler: Option<HandlerFn>,
    data: Cookie,
) -> c_int {
    let register = || {
        let (domain, dev) = (domain.get()?.key(), dev.get()?);
        let handler = Handler::new(handler.ok_or(EINVAL)?, data);
        with(|registry: &mut Registry| {
            let pasid = registry.attached_pasid(domain, dev)?;
            registry.faults().add(dev, pasid, handler)
        })
    };
    errno(register())
}

/// Undoes [`iommu_aux_register_fault_handler`].
#[no_mangle]
pub(crate) extern "C" fn iommu_aux_unregister_fault_handler(
    domain: Argument<AnyDomain>,
    dev: Argument<Device>,
    handler: Option<HandlerFn>,
    data: Cookie,
) {
    let (Ok(domain), Ok(dev), Some(handler)) = (domain.get(), dev.get(), handler) else {
        pr_err!("fault handler: no domain, no device or no function\n");
        return;
    };
    let handler = Handler::new(handler, data);
    // What is not attached has no handlers any more. The lock is not held while a handler that runs is
    // waited for.
    let found = with(|registry| {
        let pasid = registry.attached_pasid(domain.key(), dev)?;
        Ok((Arc::clone(registry.faults()), pasid))
    });
    if let Ok((faults, pasid)) = found {
        faults.remove(dev, pasid, handler);
    }
}
