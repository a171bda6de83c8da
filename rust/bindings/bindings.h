/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel crate's own bindings leave out. Types that they do have are taken from there, so
 * that the two agree (see the bindgen flags in rust/Kbuild.include).
 */
#include <linux/acpi.h>
#include <linux/dmar.h>
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
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>

/* Private to drivers/iommu, yet exported to modules and stable in both kernels of the matrix. */
#include <../drivers/iommu/iommu-pages.h>
#include "helpers.h"

/* VFIO containers: vfio.h is private to drivers/vfio, and the only way to register with it. */
#include <linux/vfio.h>
#include <../drivers/vfio/vfio.h>
#include "helpers_vfio.h"
