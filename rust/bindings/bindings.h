/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel crate's own bindings leave out. Types that they do have are taken from there, so
 * that the two agree (see the bindgen flags in rust/Kbuild.include).
 */
#include <linux/acpi.h>
#include <linux/dmar.h>
#include <linux/dmi.h>
#include <linux/generic_pt/iommu.h>
#include <linux/iommu.h>
#include <linux/iommu-aux.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>
#include <asm/cacheflush.h>
#include <asm/e820/api.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>

/* Private to drivers/iommu, yet exported to modules and stable in both kernels of the matrix. */
#include <../drivers/iommu/iommu-pages.h>
#include "helpers.h"

/* What drivers have in C beside their Rust. */
#include "../../drivers/iommu/vtd/exports.h"

/* VFIO containers: vfio.h is private to drivers/vfio, and the only way to register with it. */
#include <linux/vfio.h>
#include <../drivers/vfio/vfio.h>
#include "helpers_vfio.h"

/* mdev */
#include <linux/mdev.h>

enum siov_mdev_layout {
	SIOV_MDEV_DEVICE_SIZE = sizeof(struct mdev_device),
	SIOV_MDEV_DEVICE_TYPE = offsetof(struct mdev_device, type),
	SIOV_MDEV_DEVICE_ACTIVE = offsetof(struct mdev_device, active),
	SIOV_MDEV_TYPE_SIZE = sizeof(struct mdev_type),
	SIOV_MDEV_TYPE_KOBJ = offsetof(struct mdev_type, kobj),
	SIOV_MDEV_PARENT_SIZE = sizeof(struct mdev_parent),
	SIOV_MDEV_PARENT_INSTANCES = offsetof(struct mdev_parent, available_instances),
	SIOV_MDEV_DRIVER_SIZE = sizeof(struct mdev_driver),
	SIOV_MDEV_DRIVER_DRIVER = offsetof(struct mdev_driver, driver),
};

/* vfio */
#include <linux/vfio.h>

/* KVM's coalesced I/O. */
#include <linux/kvm_host.h>
#include <kvm/iodev.h>
#include <../virt/kvm/coalesced_mmio.h>
#include "../../virt/kvm/coalesced_io.h"
#include "helpers_kvm.h"
