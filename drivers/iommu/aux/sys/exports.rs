// SPDX-License-Identifier: GPL-2.0

//! The functions of `include/linux/iommu-aux.h`, which documents them.

use super::faults::{Handler, HandlerFn};
use super::registry::{self, with, Registry};
use core::ffi::{c_int, c_void};
use kernel::device::{Bound, Device};
use kernel::devres;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::error::eopnotsupp;
use linux::ffi::{Argument, Cookie, DeviceArgument};
use linux::iommu::{AnyDomain, DomainKey, IommuDevice};

fn errno(result: Result) -> c_int {
    result.map_or_else(|e| e.to_errno(), |()| 0)
}

linux::exports! {
    /// `IOMMU_CAP_AUX_DOMAIN` of a device.
    ///
    /// # Safety
    ///
    /// As `include/linux/iommu-aux.h` says: a driver that is bound to the device stays so until
    /// this returns, and so does the device's IOMMU, if it has one.
    unsafe fn iommu_aux_capable(dev: *mut bindings::device => DeviceArgument<'_>) -> bool
        = is_capable;

    /// Lets a device have auxiliary domains.
    ///
    /// # Safety
    ///
    /// As for [`iommu_aux_capable`].
    unsafe fn iommu_enable_aux_domain(dev: *mut bindings::device => DeviceArgument<'_>) -> c_int
        = |dev| errno(enable(&dev));

    /// Undoes [`iommu_enable_aux_domain`].
    ///
    /// # Safety
    ///
    /// The device is valid, NULL or an error pointer.
    unsafe fn iommu_disable_aux_domain(dev: *mut bindings::device => Argument<'_, Device>) -> c_int
        = |dev| errno(disable(&dev));

    /// Undoes one [`iommu_aux_attach_device`].
    ///
    /// # Safety
    ///
    /// The domain and the device are valid, NULL or error pointers.
    unsafe fn iommu_aux_detach_device(
        domain: *mut bindings::iommu_domain => Argument<'_, AnyDomain>,
        dev: *mut bindings::device => Argument<'_, Device>,
    ) = detach;

    /// Which binding a device is enabled in.
    ///
    /// # Safety
    ///
    /// The device is valid, NULL or an error pointer.
    unsafe fn iommu_aux_binding(dev: *mut bindings::device => Argument<'_, Device>) -> u64
        = binding;

    /// [`iommu_disable_aux_domain`], in this binding only.
    ///
    /// # Safety
    ///
    /// The device is valid, NULL or an error pointer.
    unsafe fn iommu_aux_disable_binding(
        dev: *mut bindings::device => Argument<'_, Device>,
        binding: u64 => u64,
    ) -> c_int = |dev, binding| errno(disable_binding(&dev, binding));

    /// [`iommu_aux_detach_device`], in this binding only.
    ///
    /// # Safety
    ///
    /// The domain and the device are valid, NULL or error pointers.
    unsafe fn iommu_aux_detach_binding(
        domain: *mut bindings::iommu_domain => Argument<'_, AnyDomain>,
        dev: *mut bindings::device => Argument<'_, Device>,
        binding: u64 => u64,
    ) = detach_binding;

    /// The PASID of a domain.
    ///
    /// # Safety
    ///
    /// The domain is valid, NULL or an error pointer.
    unsafe fn iommu_auxiliary_id(domain: *mut bindings::iommu_domain => Argument<'_, AnyDomain>)
        -> c_int = auxiliary_id;

    /// Undoes [`iommu_aux_register_fault_handler`].
    ///
    /// # Safety
    ///
    /// The domain and the device are valid, NULL or error pointers; a domain that has been detached
    /// may be freed.
    unsafe fn iommu_aux_unregister_fault_handler(
        domain: *mut bindings::iommu_domain => FormerDomain,
        dev: *mut bindings::device => Argument<'_, Device>,
        handler: bindings::iommu_aux_fault_handler_t => HandlerArgument,
        data: *mut c_void => Cookie,
    ) = unregister_fault_handler;
}

// The types are those of the prototypes.
const _: () = {
    if true {
        bindings::iommu_aux_attach_device
    } else {
        iommu_aux_attach_device
    };
    if true {
        bindings::iommu_aux_attach_binding
    } else {
        iommu_aux_attach_binding
    };
    if true {
        bindings::iommu_aux_register_fault_handler
    } else {
        iommu_aux_register_fault_handler
    };
};

/// Attaches a domain in auxiliary mode.
///
/// # Safety
///
/// The domain and the device are valid, NULL or error pointers. The domain is not freed before it
/// has been detached as often, or the device's driver was unbound.
#[no_mangle]
unsafe extern "C" fn iommu_aux_attach_device(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
) -> c_int {
    // SAFETY: As required of us.
    unsafe { attach(domain, dev, |_, _| Ok(())) }
}

/// Attaches a domain in auxiliary mode, in this binding only.
///
/// # Safety
///
/// As for [`iommu_aux_attach_device`].
#[no_mangle]
unsafe extern "C" fn iommu_aux_attach_binding(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    binding: u64,
) -> c_int {
    // SAFETY: As required of us.
    unsafe {
        attach(domain, dev, |registry, dev| {
            registry.check_binding(dev, binding)
        })
    }
}

/// Attaches a domain, if `check` finds nothing against it while the registry is locked.
///
/// # Safety
///
/// As for [`iommu_aux_attach_device`].
#[inline(always)]
unsafe fn attach(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    check: impl FnOnce(&mut Registry, &Device) -> Result,
) -> c_int {
    let call = Call::new();
    // SAFETY: As required of us.
    let domain: Argument<'_, AnyDomain> = unsafe { Argument::from_c(domain, &call) };
    // SAFETY: As required of us.
    let dev: Argument<'_, Device> = unsafe { Argument::from_c(dev, &call) };
    let attach = || {
        let (domain, dev) = (domain.get()?, dev.get()?);
        with(|registry| {
            check(registry, dev)?;
            // SAFETY: As required of us.
            unsafe { registry.attach(domain, dev) }
        })
    };
    errno(attach())
}

/// Has `handler` called for blocked requests.
///
/// # Safety
///
/// The domain and the device are valid, NULL or error pointers. The handler may be called with
/// `data` until it is unregistered or the domain detached.
#[no_mangle]
unsafe extern "C" fn iommu_aux_register_fault_handler(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    handler: bindings::iommu_aux_fault_handler_t,
    data: *mut c_void,
) -> c_int {
    let call = Call::new();
    // SAFETY: As required of us.
    let domain: Argument<'_, AnyDomain> = unsafe { Argument::from_c(domain, &call) };
    // SAFETY: As required of us.
    let dev: Argument<'_, Device> = unsafe { Argument::from_c(dev, &call) };
    // SAFETY: Takes any pointer.
    let data = unsafe { Cookie::from_c(data, &call) };
    let register = || {
        let (domain, dev) = (domain.get()?.key(), dev.get()?);
        // SAFETY: As required of us: the registry drops the handler when it is unregistered or the
        // domain detached.
        let handler = unsafe { Handler::new(handler.ok_or(EINVAL)?, data) };
        with(|registry: &mut Registry| {
            let pasid = registry.attached_pasid(domain, dev)?;
            registry.faults().add(dev, pasid, handler)
        })
    };
    errno(register())
}

/// A domain that is only compared with others: it may be freed. Or NULL.
struct FormerDomain(*mut bindings::iommu_domain);

impl FromC<'_, *mut bindings::iommu_domain> for FormerDomain {
    unsafe fn from_c(domain: *mut bindings::iommu_domain, _call: &Call) -> Self {
        Self(domain)
    }
}

/// A handler that is only compared with others. Or NULL.
struct HandlerArgument(Option<HandlerFn>);

impl FromC<'_, bindings::iommu_aux_fault_handler_t> for HandlerArgument {
    unsafe fn from_c(handler: bindings::iommu_aux_fault_handler_t, _call: &Call) -> Self {
        Self(handler)
    }
}

fn is_capable(dev: DeviceArgument<'_>) -> bool {
    dev.bound().is_ok_and(can_have_domains)
}

fn can_have_domains(bound: &Device<Bound>) -> bool {
    // SAFETY: The driver is bound, and the IOMMU stays, until the call ends.
    let iommu = unsafe { IommuDevice::from_device(bound) };
    // What is enabled has its IOMMU until the driver is unbound.
    iommu.is_some_and(|iommu| iommu.stays_with_driver() && iommu.has_pasid_domains())
}

fn enable(dev: &DeviceArgument<'_>) -> Result {
    let bound = dev.bound()?;
    if with(|registry| registry.enable_again(bound))? {
        return Ok(());
    }
    if !can_have_domains(bound) {
        return Err(eopnotsupp());
    }
    devres::register(bound, registry::UntilUnbound::new(bound)?, GFP_KERNEL)?;
    with(|registry| registry.enable(bound))
}

fn disable(dev: &Argument<'_, Device>) -> Result {
    let dev = dev.get()?;
    with(|registry| registry.disable(dev))
}

fn detach(domain: Argument<'_, AnyDomain>, dev: Argument<'_, Device>) {
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

fn binding(dev: Argument<'_, Device>) -> u64 {
    let binding = || {
        let dev = dev.get()?;
        with(|registry| registry.binding(dev))
    };
    binding().unwrap_or(0)
}

fn disable_binding(dev: &Argument<'_, Device>, binding: u64) -> Result {
    let dev = dev.get()?;
    with(|registry| {
        registry.check_binding(dev, binding)?;
        registry.disable(dev)
    })
}

fn detach_binding(domain: Argument<'_, AnyDomain>, dev: Argument<'_, Device>, binding: u64) {
    let detach = || {
        let (domain, dev) = (domain.get()?.key(), dev.get()?);
        with(|registry| {
            registry.check_binding(dev, binding)?;
            registry.detach(domain, dev)
        })
    };
    // What is detached already was so when the driver was unbound.
    let _ = detach();
}

fn auxiliary_id(domain: Argument<'_, AnyDomain>) -> c_int {
    let id = || {
        let key = domain.get()?.key();
        with(|registry| registry.pasid(key).ok_or(ENODEV))
    };
    // PASIDs have 20 bits.
    id().map_or_else(|e| e.to_errno(), |pasid| pasid.raw() as c_int)
}

fn unregister_fault_handler(
    domain: FormerDomain,
    dev: Argument<'_, Device>,
    handler: HandlerArgument,
    data: Cookie,
) {
    let key = DomainKey::former(domain.0);
    let (Some(key), Ok(dev), Some(handler)) = (key, dev.get(), handler.0) else {
        pr_err!("fault handler: no domain, no device or no function\n");
        return;
    };
    // What is not attached has no handlers any more. The lock is not held while a handler that runs
    // is waited for.
    let found = with(|registry| {
        let pasid = registry.attached_pasid(key, dev)?;
        Ok((Arc::clone(registry.faults()), pasid))
    });
    if let Ok((faults, pasid)) = found {
        faults.remove(dev, pasid, handler, data);
    }
}
