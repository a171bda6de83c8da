// SPDX-License-Identifier: GPL-2.0

//! What the cases share.

pub use siov_kselftests::adi_parent::{
    page, AdiParent as Context, Owned, User, ADI, IOVA, MEDIATED, PAGES,
};
