// SPDX-License-Identifier: GPL-2.0
/*
 * Parameters of vfio_iommu_type1, as the kernel's module of that name has them. Two of them can be
 * written while the module is in use, which the kernel crate's parameters cannot.
 */
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "params.h"

static bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Enable VFIO IOMMU support for on platforms without interrupt remapping support.");

static bool disable_hugepages;
module_param(disable_hugepages, bool, 0644);
MODULE_PARM_DESC(disable_hugepages, "Disable VFIO IOMMU support for IOMMU hugepages.");

static unsigned int dma_entry_limit __read_mostly = U16_MAX;
module_param(dma_entry_limit, uint, 0644);
MODULE_PARM_DESC(dma_entry_limit, "Maximum number of user DMA mappings per container (65535).");


bool siov_type1_allow_unsafe_interrupts(void)
{
	return READ_ONCE(allow_unsafe_interrupts);
}

bool siov_type1_disable_hugepages(void)
{
	return READ_ONCE(disable_hugepages);
}

unsigned int siov_type1_dma_entry_limit(void)
{
	return READ_ONCE(dma_entry_limit);
}
