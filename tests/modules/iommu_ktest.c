// SPDX-License-Identifier: GPL-2.0
/*
 * Gives tests in user space the kernel's IOMMU API and DMA API on PCI functions; see iommu_ktest.h.
 *
 * Locks: ktest_lock is held for reading by requests that only use what exists, so that mapping,
 * unmapping, and attaching in auxiliary mode run at the same time on several CPUs, and for writing by
 * those that add or remove. Within it, ktest_aux_lock guards the lists of auxiliary attachments.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/iommu-aux.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "../drivers/iommu/iommu-priv.h"
#include "iommu_ktest.h"

#define KTEST_BUFFER_SHIFT	40	/* of the buffer's number in an mmap() offset */

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

static DECLARE_RWSEM(ktest_lock);
static DEFINE_SPINLOCK(ktest_aux_lock);
static LIST_HEAD(ktest_devices);
static LIST_HEAD(ktest_files);

static iommu_ktest_bdf ktest_bdf(struct pci_dev *pdev)
{
	return pci_domain_nr(pdev->bus) << 16 | pci_dev_id(pdev);
}

static struct ktest_device *ktest_find_device(iommu_ktest_bdf bdf)
{
	struct ktest_device *device;

	list_for_each_entry(device, &ktest_devices, node)
		if (ktest_bdf(device->pdev) == bdf)
			return device;
	return NULL;
}

static struct pci_dev *ktest_find(iommu_ktest_bdf bdf)
{
	struct ktest_device *device = ktest_find_device(bdf);

	return device ? device->pdev : NULL;
}

static int ktest_domain_alloc(struct ktest_file *file, struct iommu_ktest_domain *arg)
{
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_domain *domain;
	int ret;

	if (!pdev || !pdev->dev.iommu_group)
		return -ENODEV;
	domain = kzalloc_obj(*domain);
	if (!domain)
		return -ENOMEM;
	INIT_LIST_HEAD(&domain->attachments);
	INIT_LIST_HEAD(&domain->aux);
	INIT_LIST_HEAD(&domain->listeners);
	domain->iommu = iommu_paging_domain_alloc(&pdev->dev);
	if (IS_ERR(domain->iommu)) {
		ret = PTR_ERR(domain->iommu);
		goto free;
	}
	ret = xa_alloc(&file->domains, &arg->domain, domain, xa_limit_32b, GFP_KERNEL);
	if (ret)
		goto free_iommu;
	arg->page_sizes = domain->iommu->pgsize_bitmap;
	arg->first = domain->iommu->geometry.aperture_start;
	arg->last = domain->iommu->geometry.aperture_end;
	return 0;

free_iommu:
	iommu_domain_free(domain->iommu);
free:
	kfree(domain);
	return ret;
}

static void ktest_detach_one(struct ktest_domain *domain, struct ktest_attachment *attachment)
{
	struct device *dev = &attachment->pdev->dev;

	if (attachment->pasid != IOMMU_NO_PASID)
		iommu_detach_device_pasid(domain->iommu, dev, attachment->pasid);
	else if (attachment->has_handle)
		iommu_detach_group_handle(domain->iommu, dev->iommu_group);
	else
		iommu_detach_group(domain->iommu, dev->iommu_group);
	list_del(&attachment->node);
	kfree(attachment);
}

/* @aux is in no list any more. */
static void ktest_aux_detach_one(struct ktest_domain *domain, struct ktest_aux *aux)
{
	iommu_aux_detach_device(domain->iommu, &aux->pdev->dev);
	kfree(aux);
}

static void ktest_on_fault(const struct iommu_dma_fault *fault, void *data)
{
	struct ktest_listener *listener = data;

	spin_lock(&listener->lock);
	listener->last = *fault;
	listener->source = ktest_bdf(to_pci_dev(fault->dev));
	listener->count++;
	spin_unlock(&listener->lock);
}

static void ktest_unlisten_one(struct ktest_domain *domain, struct ktest_listener *listener)
{
	iommu_aux_unregister_fault_handler(domain->iommu, &listener->pdev->dev, ktest_on_fault,
					   listener);
	list_del(&listener->node);
	kfree(listener);
}

static void ktest_domain_release(struct ktest_domain *domain)
{
	struct ktest_listener *listener, *next_listener;
	struct ktest_attachment *attachment, *next;
	struct ktest_aux *aux, *next_aux;

	list_for_each_entry_safe(listener, next_listener, &domain->listeners, node)
		ktest_unlisten_one(domain, listener);
	list_for_each_entry_safe(aux, next_aux, &domain->aux, node) {
		list_del(&aux->node);
		ktest_aux_detach_one(domain, aux);
	}
	list_for_each_entry_safe(attachment, next, &domain->attachments, node)
		ktest_detach_one(domain, attachment);
	iommu_domain_free(domain->iommu);
	kfree(domain);
}

static int ktest_domain_free(struct ktest_file *file, u32 *number)
{
	struct ktest_domain *domain = xa_erase(&file->domains, *number);

	if (!domain)
		return -ENOENT;
	ktest_domain_release(domain);
	return 0;
}

static struct ktest_attachment *ktest_attachment_of(struct ktest_domain *domain,
						    struct pci_dev *pdev, u32 pasid)
{
	struct ktest_attachment *attachment;

	list_for_each_entry(attachment, &domain->attachments, node)
		if (attachment->pdev == pdev && attachment->pasid == pasid)
			return attachment;
	return NULL;
}

static int ktest_attach(struct ktest_file *file, struct iommu_ktest_attach *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_attachment *attachment;
	struct device *dev;
	int ret;

	if (!domain || !pdev || !pdev->dev.iommu_group)
		return -ENODEV;
	dev = &pdev->dev;
	/* The core would say that all went well and do nothing. */
	if (arg->pasid != IOMMU_NO_PASID && !dev->iommu->max_pasids)
		return -EOPNOTSUPP;
	attachment = kzalloc_obj(*attachment);
	if (!attachment)
		return -ENOMEM;
	attachment->pdev = pdev;
	attachment->pasid = arg->pasid;
	if (arg->pasid == IOMMU_NO_PASID)
		ret = iommu_attach_group(domain->iommu, dev->iommu_group);
	else
		ret = iommu_attach_device_pasid(domain->iommu, dev, arg->pasid,
						&attachment->handle);
	if (ret) {
		kfree(attachment);
		return ret;
	}
	list_add_tail(&attachment->node, &domain->attachments);
	return 0;
}

/* The domain of this file that has @pasid of @pdev now. */
static struct ktest_attachment *ktest_attachment_now(struct ktest_file *file,
						     struct pci_dev *pdev, u32 pasid)
{
	struct ktest_attachment *attachment;
	struct ktest_domain *domain;
	unsigned long number;

	xa_for_each(&file->domains, number, domain) {
		attachment = ktest_attachment_of(domain, pdev, pasid);
		if (attachment)
			return attachment;
	}
	return NULL;
}

static int ktest_replace(struct ktest_file *file, struct iommu_ktest_attach *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_attachment *old, *new;
	int ret;

	if (!domain || !pdev)
		return -ENODEV;
	old = ktest_attachment_now(file, pdev, arg->pasid);
	if (!old)
		return -ENOENT;
	new = kzalloc_obj(*new);
	if (!new)
		return -ENOMEM;
	new->pdev = pdev;
	new->pasid = arg->pasid;
	/* The core replaces the domain of a group only for those who give it a handle. */
	new->has_handle = true;
	if (arg->pasid == IOMMU_NO_PASID)
		ret = iommu_replace_group_handle(pdev->dev.iommu_group, domain->iommu,
						 &new->handle);
	else
		ret = iommu_replace_device_pasid(domain->iommu, &pdev->dev, arg->pasid,
						 &new->handle);
	if (ret) {
		kfree(new);
		return ret;
	}
	list_del(&old->node);
	kfree(old);
	list_add_tail(&new->node, &domain->attachments);
	return 0;
}

static int ktest_detach(struct ktest_file *file, struct iommu_ktest_attach *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_attachment *attachment;

	if (!domain || !pdev)
		return -ENODEV;
	attachment = ktest_attachment_of(domain, pdev, arg->pasid);
	if (!attachment)
		return -ENOENT;
	ktest_detach_one(domain, attachment);
	return 0;
}

static int ktest_aux_attach(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_aux *aux;
	int ret;

	if (!domain || !pdev)
		return -ENOENT;
	aux = kzalloc_obj(*aux);
	if (!aux)
		return -ENOMEM;
	aux->pdev = pdev;
	ret = iommu_aux_attach_device(domain->iommu, &pdev->dev);
	if (ret) {
		kfree(aux);
		return ret;
	}
	spin_lock(&ktest_aux_lock);
	list_add_tail(&aux->node, &domain->aux);
	spin_unlock(&ktest_aux_lock);
	return 0;
}

static struct ktest_aux *ktest_aux_take(struct ktest_domain *domain, struct pci_dev *pdev)
{
	struct ktest_aux *aux, *found = NULL;

	spin_lock(&ktest_aux_lock);
	list_for_each_entry(aux, &domain->aux, node) {
		if (aux->pdev == pdev) {
			list_del(&aux->node);
			found = aux;
			break;
		}
	}
	spin_unlock(&ktest_aux_lock);
	return found;
}

/* A pair that is not attached is passed on: the function must refuse it. */
static int ktest_aux_detach(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_aux *aux;

	if (!domain || !pdev)
		return -ENOENT;
	aux = ktest_aux_take(domain, pdev);
	if (aux)
		ktest_aux_detach_one(domain, aux);
	else
		iommu_aux_detach_device(domain->iommu, &pdev->dev);
	return 0;
}

static int ktest_aux_id(struct ktest_file *file, struct iommu_ktest_aux_query *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	int ret;

	if (!domain)
		return -ENOENT;
	ret = iommu_auxiliary_id(domain->iommu);
	if (ret < 0)
		return ret;
	arg->value = ret;
	return 0;
}

static struct ktest_listener *ktest_listener_of(struct ktest_domain *domain, struct pci_dev *pdev)
{
	struct ktest_listener *listener;

	list_for_each_entry(listener, &domain->listeners, node)
		if (listener->pdev == pdev)
			return listener;
	return NULL;
}

/* A second request for the same pair registers the same handler again, which must be refused. */
static int ktest_aux_listen(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_listener *listener;
	int ret;

	if (!domain || !pdev)
		return -ENOENT;
	listener = ktest_listener_of(domain, pdev);
	if (listener)
		return iommu_aux_register_fault_handler(domain->iommu, &pdev->dev, ktest_on_fault,
							listener);
	listener = kzalloc_obj(*listener);
	if (!listener)
		return -ENOMEM;
	listener->pdev = pdev;
	spin_lock_init(&listener->lock);
	ret = iommu_aux_register_fault_handler(domain->iommu, &pdev->dev, ktest_on_fault, listener);
	if (ret) {
		kfree(listener);
		return ret;
	}
	list_add_tail(&listener->node, &domain->listeners);
	return 0;
}

static int ktest_aux_unlisten(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_listener *listener;

	if (!domain || !pdev)
		return -ENOENT;
	listener = ktest_listener_of(domain, pdev);
	if (!listener)
		return -ENOENT;
	ktest_unlisten_one(domain, listener);
	return 0;
}

static int ktest_aux_faults(struct ktest_file *file, struct iommu_ktest_aux_faults *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_listener *listener;

	if (!domain || !pdev)
		return -ENOENT;
	listener = ktest_listener_of(domain, pdev);
	if (!listener)
		return -ENOENT;
	spin_lock(&listener->lock);
	arg->addr = listener->last.addr;
	arg->count = listener->count;
	arg->pasid = listener->last.pasid;
	arg->flags = listener->last.flags;
	arg->reason = listener->last.reason;
	arg->source = listener->source;
	spin_unlock(&listener->lock);
	return 0;
}

/* What functions that return nothing do with it is to be seen in the log. */
static int ktest_aux_misuse(struct ktest_file *file, struct iommu_ktest_aux_misuse *arg)
{
	struct ktest_domain *known = xa_load(&file->domains, arg->domain);
	void *none = arg->errno_pointer ? ERR_PTR(-ENODEV) : NULL;
	static const struct iommu_domain_ops no_pasid;
	static const struct iommu_ops foreign_driver;
	struct pci_dev *pdev = ktest_find(arg->device);
	struct iommu_domain *domain, strange;
	struct device *dev;

	if (!known || !pdev)
		return -ENOENT;
	domain = known->iommu;
	dev = &pdev->dev;
	switch (arg->what) {
	case IOMMU_KTEST_MISUSE_CAPABLE:
		return iommu_aux_capable(none) ? 0 : -EINVAL;
	case IOMMU_KTEST_MISUSE_ENABLE:
		return iommu_enable_aux_domain(none);
	case IOMMU_KTEST_MISUSE_DISABLE:
		return iommu_disable_aux_domain(none);
	case IOMMU_KTEST_MISUSE_ATTACH_DOMAIN:
		return iommu_aux_attach_device(none, dev);
	case IOMMU_KTEST_MISUSE_ATTACH_DEVICE:
		return iommu_aux_attach_device(domain, none);
	case IOMMU_KTEST_MISUSE_DETACH_DOMAIN:
		iommu_aux_detach_device(none, dev);
		return 0;
	case IOMMU_KTEST_MISUSE_DETACH_DEVICE:
		iommu_aux_detach_device(domain, none);
		return 0;
	case IOMMU_KTEST_MISUSE_ID:
		return iommu_auxiliary_id(none);
	case IOMMU_KTEST_MISUSE_REGISTER_DOMAIN:
		return iommu_aux_register_fault_handler(none, dev, ktest_on_fault, NULL);
	case IOMMU_KTEST_MISUSE_REGISTER_DEVICE:
		return iommu_aux_register_fault_handler(domain, none, ktest_on_fault, NULL);
	case IOMMU_KTEST_MISUSE_REGISTER_HANDLER:
		return iommu_aux_register_fault_handler(domain, dev, NULL, NULL);
	case IOMMU_KTEST_MISUSE_UNREGISTER:
		iommu_aux_unregister_fault_handler(none, none, NULL, NULL);
		return 0;
	case IOMMU_KTEST_MISUSE_ATTACH_FOREIGN:
		strange = *domain;
		strange.owner = &foreign_driver;
		return iommu_aux_attach_device(&strange, dev);
	case IOMMU_KTEST_MISUSE_ATTACH_NO_PASID:
		strange = *domain;
		strange.ops = &no_pasid;
		return iommu_aux_attach_device(&strange, dev);
	case IOMMU_KTEST_MISUSE_ATTACH_NOT_PAGING:
		strange = *domain;
		strange.type = IOMMU_DOMAIN_IDENTITY;
		return iommu_aux_attach_device(&strange, dev);
	default:
		return -EINVAL;
	}
}

static int ktest_aux_device(unsigned int cmd, iommu_ktest_bdf bdf)
{
	struct ktest_device *device = ktest_find_device(bdf);

	if (!device)
		return -ENOENT;
	switch (cmd) {
	case IOMMU_KTEST_AUX_ENABLE:
		return iommu_enable_aux_domain(&device->pdev->dev);
	case IOMMU_KTEST_AUX_DISABLE:
		return iommu_disable_aux_domain(&device->pdev->dev);
	default:
		device->leave_aux = true;
		return 0;
	}
}

static int ktest_aux_capable(struct iommu_ktest_aux_query *arg)
{
	struct pci_dev *pdev = ktest_find(arg->device);

	if (!pdev)
		return -ENOENT;
	arg->value = iommu_aux_capable(&pdev->dev);
	return 0;
}

static int ktest_map(struct ktest_file *file, struct iommu_ktest_map *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);

	if (!domain)
		return -ENOENT;
	return iommu_map(domain->iommu, arg->iova, arg->phys, arg->size, arg->prot, GFP_KERNEL);
}

static int ktest_unmap(struct ktest_file *file, struct iommu_ktest_unmap *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);

	if (!domain)
		return -ENOENT;
	arg->unmapped = iommu_unmap(domain->iommu, arg->iova, arg->size);
	return 0;
}

static int ktest_iova_to_phys(struct ktest_file *file, struct iommu_ktest_phys *arg)
{
	struct iommu_domain *iommu;

	if (arg->domain == IOMMU_KTEST_CURRENT) {
		struct pci_dev *pdev = ktest_find(arg->device);

		if (!pdev)
			return -ENODEV;
		iommu = iommu_get_domain_for_dev(&pdev->dev);
		if (!iommu)
			return -ENODEV;
	} else {
		struct ktest_domain *domain = xa_load(&file->domains, arg->domain);

		if (!domain)
			return -ENOENT;
		iommu = domain->iommu;
	}
	arg->phys = iommu_iova_to_phys(iommu, arg->iova);
	return 0;
}

static int ktest_buffer_alloc(struct ktest_file *file, struct iommu_ktest_buffer *arg)
{
	struct ktest_buffer *buffer;
	int ret;

	if (arg->order > MAX_PAGE_ORDER)
		return -EINVAL;
	buffer = kzalloc_obj(*buffer);
	if (!buffer)
		return -ENOMEM;
	INIT_LIST_HEAD(&buffer->dma);
	buffer->order = arg->order;
	buffer->pages = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN, arg->order);
	if (!buffer->pages) {
		kfree(buffer);
		return -ENOMEM;
	}
	ret = xa_alloc(&file->buffers, &arg->buffer, buffer, xa_limit_16b, GFP_KERNEL);
	if (ret) {
		__free_pages(buffer->pages, buffer->order);
		kfree(buffer);
		return ret;
	}
	arg->phys = page_to_phys(buffer->pages);
	arg->offset = (u64)arg->buffer << KTEST_BUFFER_SHIFT;
	return 0;
}

static void ktest_dma_release(struct ktest_dma *dma)
{
	dma_unmap_page(&dma->pdev->dev, dma->address, dma->size, dma->direction);
	list_del(&dma->node);
	kfree(dma);
}

static void ktest_buffer_release(struct ktest_buffer *buffer)
{
	struct ktest_dma *dma, *next;

	list_for_each_entry_safe(dma, next, &buffer->dma, node)
		ktest_dma_release(dma);
	__free_pages(buffer->pages, buffer->order);
	kfree(buffer);
}

/* Only for buffers that no domain maps any more; a user mapping keeps the pages on its own. */
static int ktest_buffer_free(struct ktest_file *file, u32 *number)
{
	struct ktest_buffer *buffer = xa_erase(&file->buffers, *number);

	if (!buffer)
		return -ENOENT;
	ktest_buffer_release(buffer);
	return 0;
}

static int ktest_dma_map(struct ktest_file *file, struct iommu_ktest_dma *arg)
{
	struct ktest_buffer *buffer = xa_load(&file->buffers, arg->buffer);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_dma *dma;
	int ret;

	if (!buffer || !pdev)
		return -ENODEV;
	if (arg->direction > DMA_FROM_DEVICE || !arg->size || !arg->mask_bits || arg->mask_bits > 64 ||
	    (u64)arg->offset + arg->size > PAGE_SIZE << buffer->order)
		return -EINVAL;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(arg->mask_bits));
	if (ret)
		return ret;
	dma = kzalloc_obj(*dma);
	if (!dma)
		return -ENOMEM;
	dma->pdev = pdev;
	dma->size = arg->size;
	dma->direction = arg->direction;
	dma->address = dma_map_page(&pdev->dev, buffer->pages, arg->offset, arg->size, arg->direction);
	ret = dma_mapping_error(&pdev->dev, dma->address);
	if (ret) {
		kfree(dma);
		return ret;
	}
	list_add_tail(&dma->node, &buffer->dma);
	arg->address = dma->address;
	return 0;
}

static int ktest_dma_unmap(struct ktest_file *file, struct iommu_ktest_dma *arg)
{
	struct ktest_buffer *buffer = xa_load(&file->buffers, arg->buffer);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_dma *dma;

	if (!buffer || !pdev)
		return -ENODEV;
	list_for_each_entry(dma, &buffer->dma, node) {
		if (dma->pdev == pdev && dma->address == arg->address) {
			ktest_dma_release(dma);
			return 0;
		}
	}
	return -ENOENT;
}

union ktest_arg {
	struct iommu_ktest_domain domain;
	struct iommu_ktest_attach attach;
	struct iommu_ktest_map map;
	struct iommu_ktest_unmap unmap;
	struct iommu_ktest_phys phys;
	struct iommu_ktest_buffer buffer;
	struct iommu_ktest_dma dma;
	struct iommu_ktest_aux aux;
	struct iommu_ktest_aux_query aux_query;
	struct iommu_ktest_aux_faults aux_faults;
	struct iommu_ktest_aux_misuse aux_misuse;
	u32 number;
};

static int ktest_request(struct ktest_file *file, unsigned int cmd, union ktest_arg *arg)
{
	switch (cmd) {
	case IOMMU_KTEST_DOMAIN_ALLOC:
		return ktest_domain_alloc(file, &arg->domain);
	case IOMMU_KTEST_DOMAIN_FREE:
		return ktest_domain_free(file, &arg->number);
	case IOMMU_KTEST_ATTACH:
		return ktest_attach(file, &arg->attach);
	case IOMMU_KTEST_REPLACE:
		return ktest_replace(file, &arg->attach);
	case IOMMU_KTEST_DETACH:
		return ktest_detach(file, &arg->attach);
	case IOMMU_KTEST_MAP:
		return ktest_map(file, &arg->map);
	case IOMMU_KTEST_UNMAP:
		return ktest_unmap(file, &arg->unmap);
	case IOMMU_KTEST_IOVA_TO_PHYS:
		return ktest_iova_to_phys(file, &arg->phys);
	case IOMMU_KTEST_BUFFER_ALLOC:
		return ktest_buffer_alloc(file, &arg->buffer);
	case IOMMU_KTEST_BUFFER_FREE:
		return ktest_buffer_free(file, &arg->number);
	case IOMMU_KTEST_DMA_MAP:
		return ktest_dma_map(file, &arg->dma);
	case IOMMU_KTEST_DMA_UNMAP:
		return ktest_dma_unmap(file, &arg->dma);
	case IOMMU_KTEST_AUX_CAPABLE:
		return ktest_aux_capable(&arg->aux_query);
	case IOMMU_KTEST_AUX_ENABLE:
	case IOMMU_KTEST_AUX_DISABLE:
	case IOMMU_KTEST_AUX_LEAVE:
		return ktest_aux_device(cmd, arg->number);
	case IOMMU_KTEST_AUX_ATTACH:
		return ktest_aux_attach(file, &arg->aux);
	case IOMMU_KTEST_AUX_DETACH:
		return ktest_aux_detach(file, &arg->aux);
	case IOMMU_KTEST_AUX_ID:
		return ktest_aux_id(file, &arg->aux_query);
	case IOMMU_KTEST_AUX_LISTEN:
		return ktest_aux_listen(file, &arg->aux);
	case IOMMU_KTEST_AUX_UNLISTEN:
		return ktest_aux_unlisten(file, &arg->aux);
	case IOMMU_KTEST_AUX_FAULTS:
		return ktest_aux_faults(file, &arg->aux_faults);
	case IOMMU_KTEST_AUX_MISUSE:
		return ktest_aux_misuse(file, &arg->aux_misuse);
	default:
		return -ENOTTY;
	}
}

static bool ktest_only_uses(unsigned int cmd)
{
	switch (cmd) {
	case IOMMU_KTEST_MAP:
	case IOMMU_KTEST_UNMAP:
	case IOMMU_KTEST_IOVA_TO_PHYS:
	case IOMMU_KTEST_AUX_ATTACH:
	case IOMMU_KTEST_AUX_DETACH:
	case IOMMU_KTEST_AUX_ID:
		return true;
	default:
		return false;
	}
}

static long ktest_ioctl(struct file *filp, unsigned int cmd, unsigned long user)
{
	struct ktest_file *file = filp->private_data;
	union ktest_arg arg = {};
	int ret;

	if (_IOC_TYPE(cmd) != 0xb7 || _IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if (copy_from_user(&arg, (void __user *)user, _IOC_SIZE(cmd)))
		return -EFAULT;
	if (ktest_only_uses(cmd)) {
		down_read(&ktest_lock);
		ret = ktest_request(file, cmd, &arg);
		up_read(&ktest_lock);
	} else {
		down_write(&ktest_lock);
		ret = ktest_request(file, cmd, &arg);
		up_write(&ktest_lock);
	}
	if (!ret && _IOC_DIR(cmd) & _IOC_READ &&
	    copy_to_user((void __user *)user, &arg, _IOC_SIZE(cmd)))
		ret = -EFAULT;
	return ret;
}

static int ktest_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct ktest_file *file = filp->private_data;
	unsigned long shift = KTEST_BUFFER_SHIFT - PAGE_SHIFT;
	unsigned long first = vma->vm_pgoff & ((1UL << shift) - 1);
	unsigned long number = vma->vm_pgoff >> shift;
	unsigned long pages = vma_pages(vma);
	struct ktest_buffer *buffer;
	unsigned long addr = vma->vm_start;
	int ret = 0;

	down_read(&ktest_lock);
	buffer = xa_load(&file->buffers, number);
	if (!buffer) {
		ret = -ENOENT;
		goto unlock;
	}
	if (first >= 1UL << buffer->order || pages > (1UL << buffer->order) - first) {
		ret = -EINVAL;
		goto unlock;
	}
	for (; !ret && addr < vma->vm_end; addr += PAGE_SIZE)
		ret = vm_insert_page(vma, addr, buffer->pages + first++);
unlock:
	up_read(&ktest_lock);
	return ret;
}

static int ktest_open(struct inode *inode, struct file *filp)
{
	struct ktest_file *file = kzalloc_obj(*file);

	if (!file)
		return -ENOMEM;
	xa_init_flags(&file->domains, XA_FLAGS_ALLOC1);
	xa_init_flags(&file->buffers, XA_FLAGS_ALLOC1);
	down_write(&ktest_lock);
	list_add(&file->node, &ktest_files);
	up_write(&ktest_lock);
	filp->private_data = file;
	return 0;
}

static int ktest_release(struct inode *inode, struct file *filp)
{
	struct ktest_file *file = filp->private_data;
	struct ktest_domain *domain;
	struct ktest_buffer *buffer;
	unsigned long number;

	down_write(&ktest_lock);
	list_del(&file->node);
	/* Buffers last: until its domain is gone, a function may still reach them. */
	xa_for_each(&file->domains, number, domain)
		ktest_domain_release(domain);
	xa_for_each(&file->buffers, number, buffer)
		ktest_buffer_release(buffer);
	up_write(&ktest_lock);
	xa_destroy(&file->domains);
	xa_destroy(&file->buffers);
	kfree(file);
	return 0;
}

static const struct file_operations ktest_fops = {
	.owner = THIS_MODULE,
	.open = ktest_open,
	.release = ktest_release,
	.unlocked_ioctl = ktest_ioctl,
	.mmap = ktest_mmap,
};

static struct miscdevice ktest_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "iommu_ktest",
	.fops = &ktest_fops,
};

static int ktest_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct ktest_device *device;
	int ret;

	device = kzalloc_obj(*device);
	if (!device)
		return -ENOMEM;
	ret = pci_enable_device(pdev);
	if (ret) {
		kfree(device);
		return ret;
	}
	pci_set_master(pdev);
	device->pdev = pdev;
	pci_set_drvdata(pdev, device);
	down_write(&ktest_lock);
	list_add_tail(&device->node, &ktest_devices);
	up_write(&ktest_lock);
	return 0;
}

/* Ends all that open files have to do with @pdev. */
static void ktest_forget(struct ktest_file *file, struct pci_dev *pdev, bool leave_aux)
{
	struct ktest_listener *listener, *next_listener;
	struct ktest_attachment *attachment, *next;
	struct ktest_aux *aux, *next_aux;
	struct ktest_dma *dma, *next_dma;
	struct ktest_domain *domain;
	struct ktest_buffer *buffer;
	unsigned long number;

	xa_for_each(&file->domains, number, domain) {
		list_for_each_entry_safe(attachment, next, &domain->attachments, node)
			if (attachment->pdev == pdev)
				ktest_detach_one(domain, attachment);
		list_for_each_entry_safe(listener, next_listener, &domain->listeners, node)
			if (listener->pdev == pdev)
				ktest_unlisten_one(domain, listener);
		list_for_each_entry_safe(aux, next_aux, &domain->aux, node) {
			if (aux->pdev != pdev)
				continue;
			list_del(&aux->node);
			if (leave_aux)
				kfree(aux);
			else
				ktest_aux_detach_one(domain, aux);
		}
	}
	xa_for_each(&file->buffers, number, buffer)
		list_for_each_entry_safe(dma, next_dma, &buffer->dma, node)
			if (dma->pdev == pdev)
				ktest_dma_release(dma);
}

static void ktest_remove(struct pci_dev *pdev)
{
	struct ktest_device *device = pci_get_drvdata(pdev);
	struct ktest_file *file;

	pci_clear_master(pdev);
	down_write(&ktest_lock);
	list_for_each_entry(file, &ktest_files, node)
		ktest_forget(file, pdev, device->leave_aux);
	list_del(&device->node);
	up_write(&ktest_lock);
	pci_disable_device(pdev);
	kfree(device);
}

/* No id_table: bound through driver_override only. */
static struct pci_driver ktest_driver = {
	.name = "iommu_ktest",
	.probe = ktest_probe,
	.remove = ktest_remove,
};

static int __init ktest_init(void)
{
	int ret = misc_register(&ktest_misc);

	if (ret)
		return ret;
	ret = pci_register_driver(&ktest_driver);
	if (ret)
		misc_deregister(&ktest_misc);
	return ret;
}
module_init(ktest_init);

static void __exit ktest_exit(void)
{
	pci_unregister_driver(&ktest_driver);
	misc_deregister(&ktest_misc);
}
module_exit(ktest_exit);

MODULE_IMPORT_NS("IOMMUFD_INTERNAL");
MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("IOMMU and DMA API for tests in user space");
MODULE_LICENSE("GPL");
