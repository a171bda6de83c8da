/* SPDX-License-Identifier: GPL-2.0 */
/* What the driver calls in exports.c. */
#ifndef VTD_EXPORTS_H
#define VTD_EXPORTS_H

struct iommu_dma_fault;

void vtd_notify_fault(const struct iommu_dma_fault *fault);

#endif
