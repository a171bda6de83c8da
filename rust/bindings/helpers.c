// SPDX-License-Identifier: GPL-2.0
/*
 * C functions for what is inline or a macro in the kernel's headers and absent from the kernel
 * crate's own helpers.
 */
#include <linux/irqdomain.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <../drivers/iommu/iommu-pages.h>

#include "helpers.h"

/* list_add() keeps the checks of CONFIG_DEBUG_LIST and CONFIG_LIST_HARDENED. */
void siov_helper_iommu_pages_list_add(struct iommu_pages_list *list, void *virt)
{
	iommu_pages_list_add(list, virt);
}

void siov_helper_list_add_tail(struct list_head *new, struct list_head *head)
{
	list_add_tail(new, head);
}

int siov_helper_pci_domain_nr(struct pci_bus *bus)
{
	return pci_domain_nr(bus);
}

int siov_helper_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

struct pci_dev *siov_helper_pci_physfn(struct pci_dev *pdev)
{
	return pci_physfn(pdev);
}

/* pci_ats_queue_depth() is not exported. */
int siov_helper_pci_ats_queue_depth(struct pci_dev *pdev)
{
	u16 cap;

	pdev = pci_physfn(pdev);
	if (!pdev->ats_cap || pci_read_config_word(pdev, pdev->ats_cap + PCI_ATS_CAP, &cap))
		return 1;
	return PCI_ATS_CAP_QDEP(cap) ? PCI_ATS_CAP_QDEP(cap) : PCI_ATS_MAX_QDEP;
}
