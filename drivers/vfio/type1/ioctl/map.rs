// SPDX-License-Identifier: GPL-2.0

//! `VFIO_IOMMU_MAP_DMA`.

use crate::container::{read_user, Type1};
use crate::error::{refused, Failure};
use crate::state::State;
use crate::sys::ioas::FillOptions;
use crate::sys::params;
use kernel::prelude::*;
use siov_type1::request::{Map, MapKind};
use siov_type1::{uapi, window, Prot};

impl Type1 {
    /// Maps memory of the caller, or gives a mapping whose process address is invalid a new one.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `EINVAL`, `EOVERFLOW`, `EEXIST` where something is mapped, `ENOENT` where nothing
    /// is to be updated, `ENOSPC` past `dma_entry_limit`, `ENOMEM`, and those of pinning.
    pub(crate) fn map_dma(&self, arg: usize) -> Result {
        let raw = uapi::Map::from_bytes(&read_user(arg)?);
        let request = Map::parse(&raw).map_err(refused)?;
        let mut state = self.state.lock();
        if !request.is_aligned(state.shift()) {
            return Err(EINVAL);
        }
        match request.kind {
            MapKind::UpdateVaddr => update_vaddr(&mut state, &request),
            MapKind::Memory(prot) => {
                let result = map_memory(&mut state, &request, prot);
                drop(state);
                result.map_err(|failure| self.explain(failure))
            }
        }
    }

    /// What user space gets to see of a failure. Logs one that somebody could do something about.
    pub(crate) fn explain(&self, failure: Failure) -> Error {
        if !matches!(failure, Failure::Other(_)) && self.complaints.allows() {
            complain(failure);
        }
        failure.error()
    }
}

fn complain(failure: Failure) {
    match failure {
        Failure::MemoryLimit(process) => {
            pr_warn!("pid {process}: RLIMIT_MEMLOCK exceeded by pinned DMA memory\n");
        }
        Failure::ForeignRegisters(group) => {
            pr_warn!(
                "registers of a device of group {group}, which is not in the container, not \
                 mapped for DMA\n"
            );
        }
        Failure::UnsafeInterrupts(group) => {
            pr_warn!(
                "group {group}: no interrupt remapping; set allow_unsafe_interrupts=1 to allow it\n"
            );
        }
        Failure::Other(_) => {}
    }
}

fn update_vaddr(state: &mut State, request: &Map) -> Result {
    let area = state.space.overlapping(request.range).ok_or(ENOENT)?;
    let mapping = state.space.at_mut(area.range.first()).ok_or(ENOENT)?;
    if mapping.has_vaddr() || area.range != request.range {
        return Err(EINVAL);
    }
    mapping.change_owner(usize::try_from(request.vaddr)?)?;
    // Registers are those that the new process has there.
    let options = FillOptions {
        one_by_one: params::disable_hugepages(),
        emulated: &state.emulated,
    };
    if let Err(e) = state.space.change_owner(area.range.first(), options) {
        // As before, so that it can be tried again.
        if let Some(mapping) = state.space.at_mut(area.range.first()) {
            mapping.invalidate_vaddr();
        }
        return Err(e);
    }
    state.invalid_vaddrs.dec();
    Ok(())
}

fn map_memory(state: &mut State, request: &Map, prot: Prot) -> Result<(), Failure> {
    if state.space.overlapping(request.range).is_some() {
        return Err(EEXIST.into());
    }
    if state.dma_avail.is_zero() {
        return Err(ENOSPC.into());
    }
    if !window::allows(state.windows.as_slice(), request.range) {
        return Err(EINVAL.into());
    }
    let track = state.track();
    let options = FillOptions {
        one_by_one: params::disable_hugepages(),
        emulated: &state.emulated,
    };
    let vaddr = usize::try_from(request.vaddr).map_err(Error::from)?;
    state
        .space
        .map(request.range, vaddr, prot, options, track)?;
    state.dma_avail.dec();
    Ok(())
}
