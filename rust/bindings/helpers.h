/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIOV_HELPERS_H
#define SIOV_HELPERS_H

#include <linux/types.h>

struct device;
struct iommu_pages_list;
struct irq_data;
struct msi_msg;
struct pci_bus;
struct pci_dev;

void siov_helper_iommu_pages_list_add(struct iommu_pages_list *list, void *virt);
void siov_helper_list_add_tail(struct list_head *new, struct list_head *head);
int siov_helper_pci_domain_nr(struct pci_bus *bus);
int siov_helper_dev_to_node(struct device *dev);
struct pci_dev *siov_helper_pci_physfn(struct pci_dev *pdev);
int siov_helper_pci_ats_queue_depth(struct pci_dev *pdev);

#endif
