// SPDX-License-Identifier: GPL-2.0
/* The C name of each function is exported here; their bodies are in sys/exports.rs. */
#include <linux/export.h>
#include <linux/iommu-aux.h>

EXPORT_SYMBOL_GPL(iommu_aux_capable);
EXPORT_SYMBOL_GPL(iommu_enable_aux_domain);
EXPORT_SYMBOL_GPL(iommu_disable_aux_domain);
EXPORT_SYMBOL_GPL(iommu_aux_attach_device);
EXPORT_SYMBOL_GPL(iommu_aux_detach_device);
EXPORT_SYMBOL_GPL(iommu_auxiliary_id);
EXPORT_SYMBOL_GPL(iommu_aux_register_fault_handler);
EXPORT_SYMBOL_GPL(iommu_aux_unregister_fault_handler);
EXPORT_SYMBOL_GPL(iommu_aux_binding);
EXPORT_SYMBOL_GPL(iommu_aux_disable_binding);
EXPORT_SYMBOL_GPL(iommu_aux_attach_binding);
EXPORT_SYMBOL_GPL(iommu_aux_detach_binding);
