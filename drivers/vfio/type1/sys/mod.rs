// SPDX-License-Identifier: GPL-2.0

//! What the driver does with C, and all of its unsafe code.
//!
//! Outside of this folder no code is unsafe, and nothing that safe code does with what is exported
//! here breaks memory: pages are unpinned when nothing translates to them any more, domains are
//! freed when nothing is attached to them and no driver of a mediated device finds them, and what C
//! code lends for a call is not kept.
//!
//! From the top to the bottom:
//!
//! - [`registration`]: the loaded module
//! - [`ops`]: the functions that VFIO calls
//! - [`handle`]: how these find the container
//! - [`request`]: requests of drivers of emulated devices to pin and unpin pages
//! - [`device`]: the devices of such drivers
//! - [`ioas`]: areas and the domains that translate them; pinned memory
//! - [`domain`]: a domain with its groups
//! - [`endpoint`]: a group, and how it is attached
//! - [`mdev`]: mediated devices that attach to a parent
//! - [`reserved`]: what devices cannot use
//! - [`iommu`]: IOMMU domains
//! - [`pin`]: pages of a process
//! - [`pfnmap`]: frames of a process that are not pages
//! - [`notifier`]: changes of the address space of a process
//! - [`account`]: what a process has locked
//! - [`access`]: copying to and from a process
//! - [`params`]: the module's parameters
//! - [`layout`]: the structures of user space

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod device;
pub(crate) mod domain;
pub(crate) mod endpoint;
pub(crate) mod handle;
pub(crate) mod ioas;
mod iommu;
mod layout;
pub(crate) mod mdev;
mod notifier;
pub(crate) mod ops;
pub(crate) mod params;
mod pfnmap;
mod pin;
pub(crate) mod registration;
pub(crate) mod request;
pub(crate) mod reserved;
