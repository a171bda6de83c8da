// SPDX-License-Identifier: GPL-2.0
/* Domains, devices and PASIDs attached to them, and what they map. */
#include "../drivers/iommu/iommu-priv.h"
#include "ktest.h"

int ktest_domain_alloc(struct ktest_file *file, struct iommu_ktest_domain *arg)
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

void ktest_domain_release(struct ktest_domain *domain)
{
	struct ktest_attachment *attachment, *next;

	ktest_aux_release(domain);
	list_for_each_entry_safe(attachment, next, &domain->attachments, node)
		ktest_detach_one(domain, attachment);
	iommu_domain_free(domain->iommu);
	kfree(domain);
}

/* Detaches what there is of @pdev. */
void ktest_domain_forget(struct ktest_domain *domain, struct pci_dev *pdev)
{
	struct ktest_attachment *attachment, *next;

	list_for_each_entry_safe(attachment, next, &domain->attachments, node)
		if (attachment->pdev == pdev)
			ktest_detach_one(domain, attachment);
}

int ktest_domain_free(struct ktest_file *file, u32 *number)
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

int ktest_attach(struct ktest_file *file, struct iommu_ktest_attach *arg)
{
	struct ktest_pair pair;
	struct ktest_attachment *attachment;
	struct device *dev;
	int ret;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair) ||
	    !pair.pdev->dev.iommu_group)
		return -ENODEV;
	dev = &pair.pdev->dev;
	/* The core would say that all went well and do nothing. */
	if (arg->pasid != IOMMU_NO_PASID && !dev->iommu->max_pasids)
		return -EOPNOTSUPP;
	attachment = kzalloc_obj(*attachment);
	if (!attachment)
		return -ENOMEM;
	attachment->pdev = pair.pdev;
	attachment->pasid = arg->pasid;
	if (arg->pasid == IOMMU_NO_PASID)
		ret = iommu_attach_group(pair.domain->iommu, dev->iommu_group);
	else
		ret = iommu_attach_device_pasid(pair.domain->iommu, dev, arg->pasid,
						&attachment->handle);
	if (ret) {
		kfree(attachment);
		return ret;
	}
	list_add_tail(&attachment->node, &pair.domain->attachments);
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

int ktest_replace(struct ktest_file *file, struct iommu_ktest_attach *arg)
{
	struct ktest_pair pair;
	struct ktest_attachment *old, *new;
	int ret;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENODEV;
	old = ktest_attachment_now(file, pair.pdev, arg->pasid);
	if (!old)
		return -ENOENT;
	new = kzalloc_obj(*new);
	if (!new)
		return -ENOMEM;
	new->pdev = pair.pdev;
	new->pasid = arg->pasid;
	/* The core replaces the domain of a group only for those who give it a handle. */
	new->has_handle = true;
	if (arg->pasid == IOMMU_NO_PASID)
		ret = iommu_replace_group_handle(pair.pdev->dev.iommu_group, pair.domain->iommu,
						 &new->handle);
	else
		ret = iommu_replace_device_pasid(pair.domain->iommu, &pair.pdev->dev, arg->pasid,
						 &new->handle);
	if (ret) {
		kfree(new);
		return ret;
	}
	list_del(&old->node);
	kfree(old);
	list_add_tail(&new->node, &pair.domain->attachments);
	return 0;
}

int ktest_detach(struct ktest_file *file, struct iommu_ktest_attach *arg)
{
	struct ktest_pair pair;
	struct ktest_attachment *attachment;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENODEV;
	attachment = ktest_attachment_of(pair.domain, pair.pdev, arg->pasid);
	if (!attachment)
		return -ENOENT;
	ktest_detach_one(pair.domain, attachment);
	return 0;
}

int ktest_map(struct ktest_file *file, struct iommu_ktest_map *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);

	if (!domain)
		return -ENOENT;
	return iommu_map(domain->iommu, arg->iova, arg->phys, arg->size, arg->prot, GFP_KERNEL);
}

int ktest_unmap(struct ktest_file *file, struct iommu_ktest_unmap *arg)
{
	struct ktest_domain *domain = xa_load(&file->domains, arg->domain);

	if (!domain)
		return -ENOENT;
	arg->unmapped = iommu_unmap(domain->iommu, arg->iova, arg->size);
	return 0;
}

int ktest_iova_to_phys(struct ktest_file *file, struct iommu_ktest_phys *arg)
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
