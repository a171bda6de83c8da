/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of iommu_ktest.ko know of each other.
 *
 * Locks: ktest_lock is held for reading by requests that only use what exists, so that mapping,
 * unmapping, and attaching in auxiliary mode run at the same time on several CPUs, and for writing
 * by those that add or remove. Within it, the lock of aux.c guards the lists of auxiliary
 * attachments.
 */
#ifndef KTEST_H
#define KTEST_H

#include <linux/iommu.h>
#include <linux/iommu-aux.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>

#include "../iommu_ktest.h"

struct ktest_attachment {
	struct list_head node;
	struct pci_dev *pdev;
	u32 pasid;
	bool has_handle;
	struct iommu_attach_handle handle;
};

/* One iommu_aux_attach_device(). */
struct ktest_aux {
	struct list_head node;
	struct pci_dev *pdev;
};

struct ktest_listener {
	struct list_head node;
	struct pci_dev *pdev;
	spinlock_t lock;		/* of what follows */
	struct iommu_dma_fault last;
	iommu_ktest_bdf source;
	u32 count;
};

struct ktest_domain {
	struct iommu_domain *iommu;
	struct list_head attachments;
	struct list_head aux;
	struct list_head listeners;
};

struct ktest_dma {
	struct list_head node;
	struct pci_dev *pdev;
	dma_addr_t address;
	size_t size;
	enum dma_data_direction direction;
};

struct ktest_buffer {
	struct page *pages;
	unsigned int order;
	struct list_head dma;
};

struct ktest_file {
	struct list_head node;
	struct xarray domains;
	struct xarray buffers;
};

/* What a bound function has. */
struct ktest_device {
	struct list_head node;
	struct pci_dev *pdev;
	bool leave_aux;
};

/* What a request names. */
struct ktest_pair {
	struct ktest_domain *domain;
	struct pci_dev *pdev;
};

/* main.c */
iommu_ktest_bdf ktest_bdf(struct pci_dev *pdev);
struct ktest_device *ktest_find_device(iommu_ktest_bdf bdf);
struct pci_dev *ktest_find(iommu_ktest_bdf bdf);
bool ktest_find_pair(struct ktest_file *file, u32 domain, iommu_ktest_bdf device,
		     struct ktest_pair *pair);

/* domain.c: domains, and devices and PASIDs attached to them. */
int ktest_domain_alloc(struct ktest_file *file, struct iommu_ktest_domain *arg);
int ktest_domain_free(struct ktest_file *file, u32 *number);
void ktest_domain_release(struct ktest_domain *domain);
void ktest_domain_forget(struct ktest_domain *domain, struct pci_dev *pdev);
int ktest_attach(struct ktest_file *file, struct iommu_ktest_attach *arg);
int ktest_replace(struct ktest_file *file, struct iommu_ktest_attach *arg);
int ktest_detach(struct ktest_file *file, struct iommu_ktest_attach *arg);
int ktest_map(struct ktest_file *file, struct iommu_ktest_map *arg);
int ktest_unmap(struct ktest_file *file, struct iommu_ktest_unmap *arg);
int ktest_iova_to_phys(struct ktest_file *file, struct iommu_ktest_phys *arg);

/* aux.c: auxiliary domains and their faults. */
int ktest_aux_capable(struct iommu_ktest_aux_query *arg);
int ktest_aux_device(unsigned int cmd, iommu_ktest_bdf bdf);
int ktest_aux_attach(struct ktest_file *file, struct iommu_ktest_aux *arg);
int ktest_aux_detach(struct ktest_file *file, struct iommu_ktest_aux *arg);
int ktest_aux_id(struct ktest_file *file, struct iommu_ktest_aux_query *arg);
int ktest_aux_listen(struct ktest_file *file, struct iommu_ktest_aux *arg);
int ktest_aux_unlisten(struct ktest_file *file, struct iommu_ktest_aux *arg);
int ktest_aux_faults(struct ktest_file *file, struct iommu_ktest_aux_faults *arg);
void ktest_aux_release(struct ktest_domain *domain);
void ktest_aux_forget(struct ktest_domain *domain, struct pci_dev *pdev, bool leave);
void ktest_on_fault(const struct iommu_dma_fault *fault, void *data);

/* aux_misuse.c: calls that no driver should make. */
int ktest_aux_misuse(struct ktest_file *file, struct iommu_ktest_aux_misuse *arg);

/* buffer.c: memory, and the DMA API. */
int ktest_buffer_alloc(struct ktest_file *file, struct iommu_ktest_buffer *arg);
int ktest_buffer_free(struct ktest_file *file, u32 *number);
void ktest_buffer_release(struct ktest_buffer *buffer);
void ktest_buffer_forget(struct ktest_buffer *buffer, struct pci_dev *pdev);
int ktest_buffer_mmap(struct ktest_file *file, struct vm_area_struct *vma);
int ktest_dma_map(struct ktest_file *file, struct iommu_ktest_dma *arg);
int ktest_dma_unmap(struct ktest_file *file, struct iommu_ktest_dma *arg);

#endif
