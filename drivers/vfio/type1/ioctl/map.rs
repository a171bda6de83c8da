// SPDX-License-Identifier: GPL-2.0

//! `VFIO_IOMMU_MAP_DMA`.

use crate::container::{read_user, Type1};
use crate::error::refused;
use crate::space::{Access, Failure, MapOptions};
use crate::state::State;
use crate::sys::params;
use kernel::prelude::*;
use siov_type1::request::{Map, MapKind};
use siov_type1::{uapi, window};

impl Type1 {
    /// Maps memory of the caller, or gives an invalidated mapping its new address.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `EINVAL`, `EOVERFLOW`, `EEXIST` where something is mapped, `ENOENT` where nothing is to
    /// be updated, `ENOSPC` past `dma_entry_limit`, `ENOMEM`, and those of pinning.
    pub(crate) fn map_dma(&self, arg: usize) -> Result {
        let raw = uapi::Map::from_bytes(&read_user(arg)?);
        let request = Map::parse(&raw).map_err(refused)?;
        let mut state = self.state.lock();
        if !request.is_aligned(state.shift()) {
            return Err(EINVAL);
        }
        match request.kind {
            MapKind::UpdateVaddr => update_vaddr(&mut state, &request),
            MapKind::Memory { read, write } => {
                let result = map_memory(&mut state, &request, Access::new(read, write));
                drop(state);
                result.map_err(|failure| self.explain(failure))
            }
        }
    }

    /// What user space gets to see of a failure. Says so when it is that a process may not lock more memory.
    pub(crate) fn explain(&self, failure: Failure) -> Error {
        if let Failure::MemoryLimit(process) = failure {
            if self.complaints.allows() {
                pr_warn!("process {process}: RLIMIT_MEMLOCK exceeded by memory for devices\n");
            }
        }
        failure.error()
    }
}

fn update_vaddr(state: &mut State, request: &Map) -> Result {
    let known = state.space.overlapping(request.range).ok_or(ENOENT)?;
    if !known.is_stale || known.range != request.range {
        return Err(EINVAL);
    }
    let mapping = state.space.at_mut(known.range.first()).ok_or(ENOENT)?;
    mapping.change_owner(usize::try_from(request.vaddr)?)?;
    state.stale = state.stale.wrapping_sub(1);
    Ok(())
}

fn map_memory(state: &mut State, request: &Map, access: Access) -> Result<(), Failure> {
    if state.space.overlapping(request.range).is_some() {
        return Err(EEXIST.into());
    }
    if state.dma_avail == 0 {
        return Err(ENOSPC.into());
    }
    if !window::allows(state.windows.as_slice(), request.range) {
        return Err(EINVAL.into());
    }
    let options = MapOptions {
        one_by_one: params::disable_hugepages(),
        track: state.track(),
    };
    let vaddr = usize::try_from(request.vaddr).map_err(Error::from)?;
    state.space.map(request.range, vaddr, access, options)?;
    state.dma_avail = state.dma_avail.wrapping_sub(1);
    Ok(())
}
