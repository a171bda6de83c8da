/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests to a device of vfio_ktest, an emulated VFIO device whose driver does what it is told:
 * user space sees what a driver sees. Each returns what the kernel's function returned.
 */
#ifndef VFIO_KTEST_H
#define VFIO_KTEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct vfio_ktest_request {
	__u64 iova;
	__u64 count;	/* pages, or bytes of VFIO_KTEST_RW */
	__u64 data;	/* address of a buffer */
	__u32 flags;	/* IOMMU_READ 1, IOMMU_WRITE 2; VFIO_KTEST_RW: 1 writes to the mapping */
	__u32 pad;
};

/* vfio_pin_pages(); the first eight bytes of each page go to the buffer. */
#define VFIO_KTEST_PIN		_IO(';', 200)
/* vfio_unpin_pages(). */
#define VFIO_KTEST_UNPIN	_IO(';', 201)
/* vfio_dma_rw() between the buffer and the mapping. */
#define VFIO_KTEST_RW		_IO(';', 202)
/* How often the driver was told of an unmapping. */
#define VFIO_KTEST_NOTIFIED	_IO(';', 203)
/* The driver ignores the next `count` notifications. */
#define VFIO_KTEST_IGNORE	_IO(';', 204)

#ifdef __KERNEL__
struct device;
struct vfio_device;

/* A device that is not registered yet. */
struct vfio_device *vfio_ktest_alloc(struct device *dev);
#endif

#endif
