// SPDX-License-Identifier: GPL-2.0

//! `VFIO_IOMMU_GET_INFO`.

use crate::container::{read_user, write_user, Type1};
use kernel::prelude::*;
use siov_type1::capability::Facts;
use siov_type1::uapi::Info;

impl Type1 {
    /// Writes page sizes and, where the caller has room for them, capabilities.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `EINVAL`, `ENOMEM`.
    pub(crate) fn get_info(&self, arg: usize) -> Result {
        let [a, b, c, d, ..] = read_user::<{ Info::MIN_SIZE }>(arg)?;
        let argsz = u32::from_ne_bytes([a, b, c, d]);
        let room = argsz as usize;
        if room < Info::MIN_SIZE {
            return Err(EINVAL);
        }

        let (page_sizes, capabilities) = {
            let state = self.state.lock();
            let facts = Facts {
                page_sizes: state.page_sizes,
                dma_avail: u32::try_from(state.dma_avail.get()).unwrap_or(u32::MAX),
                windows: state.windows.as_slice(),
            };
            let mut bytes = KVec::from_elem(0u8, facts.len(), GFP_KERNEL)?;
            facts.write(&mut bytes);
            (state.page_sizes, bytes)
        };

        let needed = Info::SIZE.saturating_add(capabilities.len());
        let mut info = Info {
            argsz,
            flags: Info::PGSIZES | Info::CAPS,
            iova_pgsizes: page_sizes,
            ..Default::default()
        };
        if room < needed {
            info.argsz = u32::try_from(needed)?;
        } else {
            write_user(arg.saturating_add(Info::SIZE), &capabilities)?;
            info.cap_offset = Info::SIZE as u32;
        }
        let bytes = info.to_bytes();
        write_user(arg, bytes.get(..room).unwrap_or(&bytes))
    }
}
