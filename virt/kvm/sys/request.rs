// SPDX-License-Identifier: GPL-2.0

//! `struct kvm_coalesced_mmio_zone`.
//!
//! C header: [`include/uapi/linux/kvm.h`](srctree/include/uapi/linux/kvm.h)
//!
//! Locks: none.

use core::mem::size_of;
use linux::bindings;
use linux::callback::{Call, FromC};
use siov_ring::{Space, Zone};
use static_assertions::const_assert_eq;

const_assert_eq!(size_of::<bindings::kvm_coalesced_mmio_zone>(), 16);

/// The argument of `KVM_REGISTER_COALESCED_MMIO` and `KVM_UNREGISTER_COALESCED_MMIO`, as user space
/// passed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Guest physical address, or port.
    addr: u64,
    /// Bytes.
    size: u32,
    /// 0 for MMIO, 1 for PIO; user space may have stored anything.
    pio: u32,
}

/// The structure is valid: KVM's copy of what user space passed.
impl FromC<'_, *mut bindings::kvm_coalesced_mmio_zone> for Request {
    unsafe fn from_c(zone: *mut bindings::kvm_coalesced_mmio_zone, _call: &Call) -> Self {
        // SAFETY: As required of us.
        unsafe { Self::read(zone) }
    }
}

impl Request {
    /// # Safety
    ///
    /// `zone` is valid, and not written meanwhile.
    pub(super) unsafe fn read(zone: *const bindings::kvm_coalesced_mmio_zone) -> Self {
        Self {
            // SAFETY: As required of us.
            addr: unsafe { (*zone).addr },
            // SAFETY: As required of us.
            size: unsafe { (*zone).size },
            // SAFETY: As required of us.
            pio: unsafe { (*zone).__bindgen_anon_1.bindgen_union_field },
        }
    }

    /// The range; `None` if the ABI defines no such address space.
    pub(crate) fn zone(&self) -> Option<Zone> {
        Some(Zone::new(Space::from_raw(self.pio)?, self.addr, self.size))
    }

    /// The structure.
    pub(super) fn to_raw(self) -> bindings::kvm_coalesced_mmio_zone {
        // Not by `default()`, which is a function of the crate linux and not linked.
        bindings::kvm_coalesced_mmio_zone {
            addr: self.addr,
            size: self.size,
            __bindgen_anon_1: bindings::kvm_coalesced_mmio_zone__bindgen_ty_1 {
                pad: bindings::__BindgenUnionField::new(),
                pio: bindings::__BindgenUnionField::new(),
                bindgen_union_field: self.pio,
            },
        }
    }

    /// What no request of user space is: it is in no address space.
    pub(super) const NONE: Self = Self {
        addr: 0,
        size: 0,
        pio: u32::MAX,
    };
}

impl From<Zone> for Request {
    fn from(zone: Zone) -> Self {
        Self {
            addr: zone.start(),
            size: zone.size(),
            pio: zone.space().raw(),
        }
    }
}
