// SPDX-License-Identifier: GPL-2.0
/* Auxiliary domains and their faults. */
#include "ktest.h"

static DEFINE_SPINLOCK(ktest_aux_lock);

/* @aux is in no list any more. */
static void ktest_aux_detach_one(struct ktest_domain *domain, struct ktest_aux *aux)
{
	iommu_aux_detach_device(domain->iommu, &aux->pdev->dev);
	kfree(aux);
}

void ktest_on_fault(const struct iommu_dma_fault *fault, void *data)
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

/* Ends what @domain has to do with @pdev, or with any device for NULL. */
static void ktest_aux_end(struct ktest_domain *domain, struct pci_dev *pdev, bool leave)
{
	struct ktest_listener *listener, *next_listener;
	struct ktest_aux *aux, *next_aux;

	list_for_each_entry_safe(listener, next_listener, &domain->listeners, node)
		if (!pdev || listener->pdev == pdev)
			ktest_unlisten_one(domain, listener);
	list_for_each_entry_safe(aux, next_aux, &domain->aux, node) {
		if (pdev && aux->pdev != pdev)
			continue;
		list_del(&aux->node);
		if (leave)
			kfree(aux);
		else
			ktest_aux_detach_one(domain, aux);
	}
}

void ktest_aux_release(struct ktest_domain *domain)
{
	ktest_aux_end(domain, NULL, false);
}

/* For a driver that goes; it leaves its domains attached if @leave. */
void ktest_aux_forget(struct ktest_domain *domain, struct pci_dev *pdev, bool leave)
{
	ktest_aux_end(domain, pdev, leave);
}

int ktest_aux_capable(struct iommu_ktest_aux_query *arg)
{
	struct pci_dev *pdev = ktest_find(arg->device);

	if (!pdev)
		return -ENOENT;
	arg->value = iommu_aux_capable(&pdev->dev);
	return 0;
}

int ktest_aux_device(unsigned int cmd, iommu_ktest_bdf bdf)
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

int ktest_aux_attach(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_pair pair;
	struct ktest_aux *aux;
	int ret;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENOENT;
	aux = kzalloc_obj(*aux);
	if (!aux)
		return -ENOMEM;
	aux->pdev = pair.pdev;
	ret = iommu_aux_attach_device(pair.domain->iommu, &pair.pdev->dev);
	if (ret) {
		kfree(aux);
		return ret;
	}
	spin_lock(&ktest_aux_lock);
	list_add_tail(&aux->node, &pair.domain->aux);
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
int ktest_aux_detach(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_pair pair;
	struct ktest_aux *aux;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENOENT;
	aux = ktest_aux_take(pair.domain, pair.pdev);
	if (aux)
		ktest_aux_detach_one(pair.domain, aux);
	else
		iommu_aux_detach_device(pair.domain->iommu, &pair.pdev->dev);
	return 0;
}

int ktest_aux_id(struct ktest_file *file, struct iommu_ktest_aux_query *arg)
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
int ktest_aux_listen(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_pair pair;
	struct ktest_listener *listener;
	int ret;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENOENT;
	listener = ktest_listener_of(pair.domain, pair.pdev);
	if (listener)
		return iommu_aux_register_fault_handler(pair.domain->iommu, &pair.pdev->dev,
							ktest_on_fault, listener);
	listener = kzalloc_obj(*listener);
	if (!listener)
		return -ENOMEM;
	listener->pdev = pair.pdev;
	spin_lock_init(&listener->lock);
	ret = iommu_aux_register_fault_handler(pair.domain->iommu, &pair.pdev->dev, ktest_on_fault,
					       listener);
	if (ret) {
		kfree(listener);
		return ret;
	}
	list_add_tail(&listener->node, &pair.domain->listeners);
	return 0;
}

int ktest_aux_unlisten(struct ktest_file *file, struct iommu_ktest_aux *arg)
{
	struct ktest_pair pair;
	struct ktest_listener *listener;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENOENT;
	listener = ktest_listener_of(pair.domain, pair.pdev);
	if (!listener)
		return -ENOENT;
	ktest_unlisten_one(pair.domain, listener);
	return 0;
}

int ktest_aux_faults(struct ktest_file *file, struct iommu_ktest_aux_faults *arg)
{
	struct ktest_pair pair;
	struct ktest_listener *listener;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENOENT;
	listener = ktest_listener_of(pair.domain, pair.pdev);
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
