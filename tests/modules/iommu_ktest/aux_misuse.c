// SPDX-License-Identifier: GPL-2.0
/* Calls that no driver should make: each must be refused, and do no harm. */
#include "ktest.h"

/* What functions that return nothing do with it is to be seen in the log. */
int ktest_aux_misuse(struct ktest_file *file, struct iommu_ktest_aux_misuse *arg)
{
	void *none = arg->errno_pointer ? ERR_PTR(-ENODEV) : NULL;
	static const struct iommu_domain_ops no_pasid;
	static const struct iommu_ops foreign_driver;
	struct iommu_domain *domain, strange;
	struct ktest_pair pair;
	struct device *dev;

	if (!ktest_find_pair(file, arg->domain, arg->device, &pair))
		return -ENOENT;
	domain = pair.domain->iommu;
	dev = &pair.pdev->dev;
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
