/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Auxiliary domains: several IOMMU domains for one device, told apart by PASID.
 *
 * A domain is attached to a device "in auxiliary mode" when it translates the requests of one PASID
 * and not those without PASID. It has one PASID for all devices it is attached to in this way, and
 * may at the same time be the normal domain of other devices. The driver of the device asks for the
 * PASID and programs the part of the device whose DMA the domain shall translate.
 *
 * All functions may sleep, and are for the driver that is bound to @dev, or for others while it
 * is bound. Whoever calls iommu_aux_capable() or iommu_enable_aux_domain() sees to it that the
 * device keeps its IOMMU until they return: the driver was bound when it had one, or @dev is
 * locked, as in the driver's probe function. NULL and error pointers are refused. See
 * Documentation/iommu-aux.rst.
 */
#ifndef _LINUX_IOMMU_AUX_H
#define _LINUX_IOMMU_AUX_H

#include <linux/iommu-fault.h>
#include <linux/types.h>

struct device;
struct iommu_domain;

/**
 * iommu_aux_capable() - IOMMU_CAP_AUX_DOMAIN of a device
 * @dev: the device
 *
 * Return: whether @dev has PASIDs, and an IOMMU whose driver attaches domains to them, and which
 * was there when the driver of @dev was bound.
 */
bool iommu_aux_capable(struct device *dev);

/**
 * iommu_enable_aux_domain() - let a device have auxiliary domains
 * @dev: the device
 *
 * What is left when the driver of @dev is unbound is undone then, with a warning if domains are
 * still attached.
 *
 * Return: 0; -EOPNOTSUPP if !iommu_aux_capable(@dev); -EBUSY if enabled already; -ENODEV if no
 * driver is bound to @dev; -EINVAL for no device; -ENOMEM.
 */
int iommu_enable_aux_domain(struct device *dev);

/**
 * iommu_disable_aux_domain() - undo iommu_enable_aux_domain()
 * @dev: the device
 *
 * Return: 0; -EBUSY while domains are attached to @dev in auxiliary mode; -ENODEV if not enabled;
 * -EINVAL for no device.
 */
int iommu_disable_aux_domain(struct device *dev);

/**
 * iommu_aux_attach_device() - attach a domain in auxiliary mode
 * @domain: a paging domain of the IOMMU driver of @dev
 * @dev: an enabled device
 *
 * May be called several times for the same pair; each call needs its iommu_aux_detach_device().
 * The domain must not be freed before.
 *
 * Return: 0; -ENODEV if @dev is not enabled; -EINVAL for no domain or device, for a domain that is
 * no paging domain, belongs to another IOMMU driver, or whose PASID is beyond what @dev has;
 * -EOPNOTSUPP for a domain that its driver cannot attach to a PASID; -ENOSPC if no PASID is left;
 * -EBUSY if somebody else uses the domain's PASID on @dev or in its group; -EOVERFLOW; -ENOMEM;
 * what the IOMMU driver returns.
 */
int iommu_aux_attach_device(struct iommu_domain *domain, struct device *dev);

/**
 * iommu_aux_detach_device() - undo one iommu_aux_attach_device()
 * @domain: the domain
 * @dev: the device
 *
 * When the last attachment to @dev goes, requests with the PASID are blocked from the return of
 * this function on. The device must have been told before to send no more of them: the PASID may be
 * given to another domain as soon as this one is attached nowhere.
 */
void iommu_aux_detach_device(struct iommu_domain *domain, struct device *dev);

/**
 * iommu_aux_binding() - which binding to a driver a device is enabled in
 * @dev: the device
 *
 * For those who may come too late to undo what they did: see the next functions.
 *
 * Return: a number that no other binding of any device has; 0 if @dev is not enabled.
 */
u64 iommu_aux_binding(struct device *dev);

/**
 * iommu_aux_disable_binding() - undo iommu_enable_aux_domain(), unless the driver was unbound
 * @dev: the device
 * @binding: iommu_aux_binding() after the device was enabled
 *
 * Return: as iommu_disable_aux_domain(); -ENODEV if @dev has been unbound since.
 */
int iommu_aux_disable_binding(struct device *dev, u64 binding);

/**
 * iommu_aux_attach_binding() - iommu_aux_attach_device(), unless the driver was unbound
 * @domain: as for iommu_aux_attach_device()
 * @dev: as for iommu_aux_attach_device()
 * @binding: iommu_aux_binding() after the device was enabled
 *
 * Return: as iommu_aux_attach_device(); -ENODEV if @dev has been unbound since.
 */
int iommu_aux_attach_binding(struct iommu_domain *domain, struct device *dev, u64 binding);

/**
 * iommu_aux_detach_binding() - undo iommu_aux_attach_binding(), unless the driver was unbound
 * @domain: the domain
 * @dev: the device
 * @binding: as for iommu_aux_attach_binding()
 *
 * As iommu_aux_detach_device(). If @dev has been unbound since, which has detached the domain, this
 * does nothing, also if the same domain has been attached to @dev again.
 */
void iommu_aux_detach_binding(struct iommu_domain *domain, struct device *dev, u64 binding);

/**
 * iommu_auxiliary_id() - the PASID of a domain
 * @domain: the domain
 *
 * Return: the PASID, from 1 on, the same on each device; -ENODEV if the domain is attached nowhere
 * in auxiliary mode; -EINVAL for no domain.
 */
int iommu_auxiliary_id(struct iommu_domain *domain);

/**
 * typedef iommu_aux_fault_handler_t - called for a blocked request of an auxiliary domain
 * @fault: the request
 * @data: as registered
 *
 * Called in process context, after the fact; faults may have been lost in between. Must not call
 * functions of this header.
 */
typedef void (*iommu_aux_fault_handler_t)(const struct iommu_dma_fault *fault, void *data);

/**
 * iommu_aux_register_fault_handler() - be told of blocked requests
 * @domain: a domain that is attached to @dev in auxiliary mode
 * @dev: the device
 * @handler: called for each
 * @data: passed to @handler
 *
 * Several handlers may be registered for the same pair. They go with the last attachment.
 *
 * Return: 0; -EOPNOTSUPP if the IOMMU driver of @dev tells nobody; -ENODEV if @domain is not
 * attached; -EEXIST if this @handler is registered with this @data; -EINVAL for no domain, device
 * or handler; -ENOMEM.
 */
int iommu_aux_register_fault_handler(struct iommu_domain *domain, struct device *dev,
				     iommu_aux_fault_handler_t handler, void *data);

/**
 * iommu_aux_unregister_fault_handler() - undo iommu_aux_register_fault_handler()
 * @domain: as registered
 * @dev: as registered
 * @handler: as registered
 * @data: as registered
 *
 * @handler is not running when this returns, and will not be called again.
 */
void iommu_aux_unregister_fault_handler(struct iommu_domain *domain, struct device *dev,
					iommu_aux_fault_handler_t handler, void *data);

#endif
