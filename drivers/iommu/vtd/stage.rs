// SPDX-License-Identifier: GPL-2.0

//! Which stage of translation paging domains use.

use kernel::prelude::*;
use linux::error::eopnotsupp;
use linux::iommu::driver::Stage;
use siov_vtd::ExtendedCapability;

/// The module parameter `stage`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StageChoice {
    /// First stage where the unit has it, as the C driver does.
    Auto,
    /// This one only.
    Only(Stage),
}

impl StageChoice {
    /// From the parameter's value; `None` for one that there is not.
    pub(crate) fn from_param(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Auto,
            1 => Self::Only(Stage::First),
            2 => Self::Only(Stage::Second),
            _ => return None,
        })
    }

    /// The stage for devices of a unit.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` when the unit does not have the stage that was asked for.
    pub(crate) fn of(self, ecap: ExtendedCapability) -> Result<Stage> {
        match self {
            Self::Only(Stage::First) if ecap.first_stage() => Ok(Stage::First),
            Self::Only(Stage::Second) if ecap.second_stage() => Ok(Stage::Second),
            Self::Only(_) => Err(eopnotsupp()),
            Self::Auto if ecap.first_stage() => Ok(Stage::First),
            Self::Auto => Ok(Stage::Second),
        }
    }
}
