// SPDX-License-Identifier: GPL-2.0

//! Auxiliary domains: the functions of `include/linux/iommu-aux.h`.

use super::{Domain, Ktest, Request};
use crate::ktap::Result;
use crate::pci::Function;
use std::mem::size_of;

#[repr(C)]
struct AuxArg {
    device: u32,
    domain: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryArg {
    device: u32,
    domain: u32,
    value: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Default)]
struct FaultsArg {
    device: u32,
    domain: u32,
    addr: u64,
    count: u32,
    pasid: u32,
    flags: u32,
    reason: u32,
    source: u32,
    reserved: u32,
}

#[repr(C)]
struct MisuseArg {
    device: u32,
    domain: u32,
    what: u32,
    errno_pointer: u32,
}

// SAFETY: `IOMMU_KTEST_AUX_CAPABLE` takes a `struct iommu_ktest_aux_query`, which holds no
// addresses of this process.
const AUX_CAPABLE: Request<QueryArg> = unsafe { Request::read_write(12) };
// SAFETY: `IOMMU_KTEST_AUX_ENABLE` takes a number, `iommu_ktest_bdf`.
const AUX_ENABLE: Request<u32> = unsafe { Request::write(13) };
// SAFETY: `IOMMU_KTEST_AUX_DISABLE` takes a number, `iommu_ktest_bdf`.
const AUX_DISABLE: Request<u32> = unsafe { Request::write(14) };
// SAFETY: `IOMMU_KTEST_AUX_ATTACH` takes a `struct iommu_ktest_aux`, which holds no addresses of
// this process.
const AUX_ATTACH: Request<AuxArg> = unsafe { Request::write(15) };
// SAFETY: `IOMMU_KTEST_AUX_DETACH` takes a `struct iommu_ktest_aux`, which holds no addresses of
// this process.
const AUX_DETACH: Request<AuxArg> = unsafe { Request::write(16) };
// SAFETY: `IOMMU_KTEST_AUX_ID` takes a `struct iommu_ktest_aux_query`, which holds no addresses of
// this process.
const AUX_ID: Request<QueryArg> = unsafe { Request::read_write(17) };
// SAFETY: `IOMMU_KTEST_AUX_LISTEN` takes a `struct iommu_ktest_aux`, which holds no addresses of
// this process.
const AUX_LISTEN: Request<AuxArg> = unsafe { Request::write(18) };
// SAFETY: `IOMMU_KTEST_AUX_UNLISTEN` takes a `struct iommu_ktest_aux`, which holds no addresses of
// this process.
const AUX_UNLISTEN: Request<AuxArg> = unsafe { Request::write(19) };
// SAFETY: `IOMMU_KTEST_AUX_FAULTS` takes a `struct iommu_ktest_aux_faults`, which holds no
// addresses of this process.
const AUX_FAULTS: Request<FaultsArg> = unsafe { Request::read_write(20) };
// SAFETY: `IOMMU_KTEST_AUX_MISUSE` takes a `struct iommu_ktest_aux_misuse`, which holds no
// addresses of this process.
const AUX_MISUSE: Request<MisuseArg> = unsafe { Request::read_write(21) };
// SAFETY: `IOMMU_KTEST_AUX_LEAVE` takes a number, `iommu_ktest_bdf`.
const AUX_LEAVE: Request<u32> = unsafe { Request::write(22) };

const _: () = {
    assert!(size_of::<AuxArg>() == 8);
    assert!(size_of::<QueryArg>() == 16);
    assert!(size_of::<FaultsArg>() == 40);
    assert!(size_of::<MisuseArg>() == 16);
};

/// What a fault handler was told: how often, and of what last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuxFault {
    /// Calls.
    pub count: u32,
    /// Who sent the request, as [`Function::id`].
    pub source: u32,
    /// The request's PASID.
    pub pasid: u32,
    /// The page.
    pub addr: u64,
    /// IOMMU_DMA_FAULT_*.
    pub flags: u32,
    /// The IOMMU's own encoding.
    pub reason: u32,
}

/// A call that the interface must refuse; values of `IOMMU_KTEST_MISUSE_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The function, and which argument of it is none.
pub enum Misuse {
    Capable = 0,
    Enable = 1,
    Disable = 2,
    AttachDomain = 3,
    AttachDevice = 4,
    DetachDomain = 5,
    DetachDevice = 6,
    Id = 7,
    RegisterDomain = 8,
    RegisterDevice = 9,
    RegisterHandler = 10,
    Unregister = 11,
    /// A domain of another IOMMU driver.
    AttachForeign = 12,
    /// A domain whose driver cannot attach it to PASIDs.
    AttachNoPasid = 13,
    /// A domain that is translated by no page tables.
    AttachNotPaging = 14,
}

impl Ktest {
    /// iommu_aux_capable().
    ///
    /// # Errors
    ///
    /// Those of the request.
    pub fn aux_capable(&self, function: &Function) -> Result<bool> {
        let mut arg = QueryArg {
            device: function.id(),
            ..QueryArg::default()
        };
        self.device.call(AUX_CAPABLE, &mut arg, || {
            format!("iommu_aux_capable of {function}")
        })?;
        Ok(arg.value != 0)
    }

    /// iommu_enable_aux_domain().
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn aux_enable(&self, function: &Function) -> Result {
        self.device.call(AUX_ENABLE, &mut function.id(), || {
            format!("enable {function}")
        })
    }

    /// iommu_disable_aux_domain().
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn aux_disable(&self, function: &Function) -> Result {
        self.device.call(AUX_DISABLE, &mut function.id(), || {
            format!("disable {function}")
        })
    }

    /// Leaves the function's auxiliary domains attached when its driver is unbound.
    ///
    /// # Errors
    ///
    /// Those of the request.
    pub fn aux_leave(&self, function: &Function) -> Result {
        self.device.call(AUX_LEAVE, &mut function.id(), || {
            format!("leave {function}")
        })
    }
}

impl Domain {
    fn aux(&self, function: &Function) -> AuxArg {
        AuxArg {
            device: function.id(),
            domain: self.number,
        }
    }

    /// iommu_aux_attach_device().
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn aux_attach(&self, function: &Function) -> Result {
        let mut arg = self.aux(function);
        self.device.call(AUX_ATTACH, &mut arg, || {
            format!("attach in auxiliary mode to {function}")
        })
    }

    /// iommu_aux_detach_device(), also when nothing is attached.
    ///
    /// # Errors
    ///
    /// Those of the request.
    pub fn aux_detach(&self, function: &Function) -> Result {
        let mut arg = self.aux(function);
        self.device.call(AUX_DETACH, &mut arg, || {
            format!("detach in auxiliary mode from {function}")
        })
    }

    /// iommu_auxiliary_id().
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn aux_id(&self) -> Result<u32> {
        let mut arg = QueryArg {
            domain: self.number,
            ..QueryArg::default()
        };
        self.device
            .call(AUX_ID, &mut arg, || "iommu_auxiliary_id".to_owned())?;
        Ok(arg.value)
    }

    /// iommu_aux_register_fault_handler(), each time with the same handler.
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn aux_listen(&self, function: &Function) -> Result {
        let mut arg = self.aux(function);
        self.device.call(AUX_LISTEN, &mut arg, || {
            format!("fault handler for {function}")
        })
    }

    /// iommu_aux_unregister_fault_handler().
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    pub fn aux_unlisten(&self, function: &Function) -> Result {
        let mut arg = self.aux(function);
        self.device.call(AUX_UNLISTEN, &mut arg, || {
            format!("no fault handler for {function}")
        })
    }

    /// What the handler was told since it was registered.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    pub fn aux_faults(&self, function: &Function) -> Result<AuxFault> {
        let mut arg = FaultsArg {
            device: function.id(),
            domain: self.number,
            ..FaultsArg::default()
        };
        self.device
            .call(AUX_FAULTS, &mut arg, || format!("faults of {function}"))?;
        Ok(AuxFault {
            count: arg.count,
            source: arg.source,
            pasid: arg.pasid,
            addr: arg.addr,
            flags: arg.flags,
            reason: arg.reason,
        })
    }

    /// A wrong call, with an error pointer or NULL where an argument is none.
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn aux_misuse(&self, function: &Function, what: Misuse, errno_pointer: bool) -> Result {
        let mut arg = MisuseArg {
            device: function.id(),
            domain: self.number,
            what: what as u32,
            errno_pointer: errno_pointer.into(),
        };
        self.device
            .call(AUX_MISUSE, &mut arg, || format!("{what:?}"))
    }
}
