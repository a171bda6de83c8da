// SPDX-License-Identifier: GPL-2.0
/* The chain that reports blocked requests to others; include/linux/iommu-fault.h. */
#include <linux/export.h>
#include <linux/iommu-fault.h>
#include <linux/irqflags.h>
#include <linux/notifier.h>

#include "exports.h"

static ATOMIC_NOTIFIER_HEAD(vtd_faults);

int vtd_register_fault_notifier(struct notifier_block *nb)
{
	return atomic_notifier_chain_register(&vtd_faults, nb);
}
EXPORT_SYMBOL_GPL(vtd_register_fault_notifier);

int vtd_unregister_fault_notifier(struct notifier_block *nb)
{
	return atomic_notifier_chain_unregister(&vtd_faults, nb);
}
EXPORT_SYMBOL_GPL(vtd_unregister_fault_notifier);

/* A listener knows by interrupts being off that it may not be waited for. */
void vtd_notify_fault(const struct iommu_dma_fault *fault)
{
	unsigned long flags;

	local_irq_save(flags);
	atomic_notifier_call_chain(&vtd_faults, 0, (void *)fault);
	local_irq_restore(flags);
}
