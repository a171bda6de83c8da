// SPDX-License-Identifier: GPL-2.0

//! vtd
use kernel::prelude::*;

module! {
    type: Vtd,
    name: "vtd",
    authors: ["siov-rs developers"],
    description: "Intel VT-d in scalable mode",
    license: "GPL",
}

struct Vtd;

impl kernel::Module for Vtd {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("hello\n");
        Ok(Vtd)
    }
}
