/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DMA that an IOMMU driver saw blocked, told to whoever asks.
 *
 * Offered by vtd.ko. Those who can do without it find the functions with symbol_get().
 */
#ifndef _LINUX_IOMMU_FAULT_H
#define _LINUX_IOMMU_FAULT_H

#include <linux/bits.h>
#include <linux/types.h>

struct device;
struct notifier_block;

#define IOMMU_DMA_FAULT_WRITE	BIT(0)	/* a read if clear */
#define IOMMU_DMA_FAULT_EXEC	BIT(1)	/* the read asked for execute permission */
#define IOMMU_DMA_FAULT_PRIV	BIT(2)	/* supervisor privilege was asked for */
#define IOMMU_DMA_FAULT_PASID	BIT(3)	/* the request had a PASID */

/**
 * struct iommu_dma_fault - one blocked request
 * @dev: who sent it
 * @addr: the page that was touched; its low 12 bits are 0
 * @pasid: the request's PASID; only with %IOMMU_DMA_FAULT_PASID
 * @flags: IOMMU_DMA_FAULT_*
 * @reason: why, in the IOMMU's own encoding; for VT-d the fault reasons of appendix A of its
 *	specification
 *
 * An IOMMU may combine requests that fault alike into one record, and drops records when it has no
 * room for more.
 */
struct iommu_dma_fault {
	struct device *dev;
	u64 addr;
	u32 pasid;
	u32 flags;
	u32 reason;
};

/*
 * An atomic notifier chain. The data of a call is a struct iommu_dma_fault, valid, as is its
 * device, until the call returns. Called in hard interrupt context.
 */
int vtd_register_fault_notifier(struct notifier_block *nb);
int vtd_unregister_fault_notifier(struct notifier_block *nb);

#endif
