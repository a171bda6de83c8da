/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mediated devices with a domain type: a superset of the kernel's own header, whose structures and
 * functions are unchanged. This folder must come before the kernel's in the search path; in the
 * Kbuild file of a module:
 *
 *	LINUXINCLUDE := -I/path/to/siov-rs/include $(LINUXINCLUDE)
 */
#ifndef SIOV_MDEV_H
#define SIOV_MDEV_H

#include_next <linux/mdev.h>

struct iommu_domain;

/**
 * enum mdev_domain_type - who isolates the DMA of a mediated device
 * @DOMAIN_TYPE_NO_IOMMU: the parent's driver, by means of its own
 * @DOMAIN_TYPE_ATTACH_PARENT: the IOMMU, by a domain that is attached to the parent in auxiliary
 *	mode. The parent tags the requests of the mediated device with the domain's PASID.
 */
enum mdev_domain_type {
	DOMAIN_TYPE_NO_IOMMU = 0,
	DOMAIN_TYPE_ATTACH_PARENT = 1,
};

/**
 * mdev_set_domain_type() - choose who isolates the DMA of a mediated device
 * @dev: the mediated device, or NULL
 * @type: the new type; DOMAIN_TYPE_NO_IOMMU is what every device begins with
 *
 * To be called from the probe function of the parent's driver, before the device is registered with
 * VFIO.
 *
 * Return: 0, -EBUSY when the device may be in use already, -EINVAL for an unknown type, -ENODEV
 * when @dev is not a mediated device.
 */
int mdev_set_domain_type(struct device *dev, enum mdev_domain_type type);

/**
 * mdev_get_domain_type() - who isolates the DMA of a device
 * @dev: any device, or NULL
 *
 * Return: an enum mdev_domain_type; DOMAIN_TYPE_NO_IOMMU also for what is not a mediated device.
 */
int mdev_get_domain_type(struct device *dev);

/**
 * mdev_parent_device() - the device that sends the requests of a mediated device
 * @dev: any device, or NULL
 *
 * Return: the parent, valid as long as @dev is; NULL when @dev is not a mediated device.
 */
struct device *mdev_parent_device(struct device *dev);

/**
 * mdev_set_iommu_domain() - note the domain of a mediated device
 * @dev: a mediated device; nothing happens for others, and for NULL
 * @domain: what has been attached to the parent in auxiliary mode, or NULL before it is detached
 *
 * For drivers of VFIO containers.
 */
void mdev_set_iommu_domain(struct device *dev, struct iommu_domain *domain);

/**
 * mdev_get_iommu_domain() - the domain of a mediated device
 * @dev: any device, or NULL
 *
 * Return: the domain, valid while the device is open; NULL when there is none. Its PASID is
 * iommu_auxiliary_id().
 */
struct iommu_domain *mdev_get_iommu_domain(struct device *dev);

#endif /* SIOV_MDEV_H */
