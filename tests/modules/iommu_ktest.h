/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * iommu_ktest: the kernel's IOMMU API and DMA API on PCI functions, for tests in user space.
 *
 * /dev/iommu_ktest takes the requests below. Domains, buffers and DMA mappings belong to the open
 * file and go with it. Functions are those that the iommu_ktest driver is bound to (through
 * driver_override). Every request returns the errno of the kernel function behind it.
 */
#ifndef IOMMU_KTEST_H
#define IOMMU_KTEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* A function: segment << 16 | bus << 8 | devfn. */
typedef __u32 iommu_ktest_bdf;

/* Stands for the domain that the function's group has now. */
#define IOMMU_KTEST_CURRENT 0

/* iommu_paging_domain_alloc() for @device. */
struct iommu_ktest_domain {
	iommu_ktest_bdf device;
	__u32 domain;			/* out: number from 1 */
	__u64 page_sizes;		/* out: a bit per page size in bytes */
	__u64 first;			/* out: aperture */
	__u64 last;
};

/* Requests without PASID if @pasid is 0, otherwise those of @pasid. */
struct iommu_ktest_attach {
	iommu_ktest_bdf device;
	__u32 domain;
	__u32 pasid;
	__u32 reserved;
};

#define IOMMU_KTEST_READ	(1 << 0)	/* values of IOMMU_READ and IOMMU_WRITE */
#define IOMMU_KTEST_WRITE	(1 << 1)

struct iommu_ktest_map {
	__u32 domain;
	__u32 prot;
	__u64 iova;
	__u64 phys;
	__u64 size;
};

struct iommu_ktest_unmap {
	__u32 domain;
	__u32 reserved;
	__u64 iova;
	__u64 size;
	__u64 unmapped;			/* out: bytes */
};

struct iommu_ktest_phys {
	iommu_ktest_bdf device;		/* only with IOMMU_KTEST_CURRENT */
	__u32 domain;
	__u64 iova;
	__u64 phys;			/* out: 0 if nothing is mapped */
};

/* 2^order contiguous zeroed pages; mmap() at @offset. */
struct iommu_ktest_buffer {
	__u32 order;
	__u32 buffer;			/* out: number from 1 */
	__u64 phys;			/* out */
	__u64 offset;			/* out */
};

/* dma_map_page() of a part of one buffer, with a DMA mask of @mask_bits. */
struct iommu_ktest_dma {
	iommu_ktest_bdf device;
	__u32 buffer;
	__u32 offset;
	__u32 size;
	__u32 direction;		/* enum dma_data_direction */
	__u32 mask_bits;
	__u64 address;			/* out of IOMMU_KTEST_DMA_MAP, in for _UNMAP */
};

/* The functions of include/linux/iommu-aux.h. */
struct iommu_ktest_aux {
	iommu_ktest_bdf device;
	__u32 domain;
};

/* iommu_aux_capable() with a @device; iommu_auxiliary_id() with a @domain. */
struct iommu_ktest_aux_query {
	iommu_ktest_bdf device;
	__u32 domain;
	__u32 value;			/* out */
	__u32 reserved;
};

/* What fault handlers were told since they were registered. */
struct iommu_ktest_aux_faults {
	iommu_ktest_bdf device;
	__u32 domain;
	__u64 addr;			/* out: of the last */
	__u32 count;			/* out */
	__u32 pasid;			/* out: of the last */
	__u32 flags;			/* out: of the last, IOMMU_DMA_FAULT_* */
	__u32 reason;			/* out: of the last */
	iommu_ktest_bdf source;		/* out: of the last */
	__u32 reserved;
};

/* Which argument of which function is none. */
#define IOMMU_KTEST_MISUSE_CAPABLE		0
#define IOMMU_KTEST_MISUSE_ENABLE		1
#define IOMMU_KTEST_MISUSE_DISABLE		2
#define IOMMU_KTEST_MISUSE_ATTACH_DOMAIN	3
#define IOMMU_KTEST_MISUSE_ATTACH_DEVICE	4
#define IOMMU_KTEST_MISUSE_DETACH_DOMAIN	5
#define IOMMU_KTEST_MISUSE_DETACH_DEVICE	6
#define IOMMU_KTEST_MISUSE_ID			7
#define IOMMU_KTEST_MISUSE_REGISTER_DOMAIN	8
#define IOMMU_KTEST_MISUSE_REGISTER_DEVICE	9
#define IOMMU_KTEST_MISUSE_REGISTER_HANDLER	10
#define IOMMU_KTEST_MISUSE_UNREGISTER		11
/* Domains like @domain, except that */
#define IOMMU_KTEST_MISUSE_ATTACH_FOREIGN	12	/* another IOMMU driver made it */
#define IOMMU_KTEST_MISUSE_ATTACH_NO_PASID	13	/* its driver cannot attach it to PASIDs */
#define IOMMU_KTEST_MISUSE_ATTACH_NOT_PAGING	14	/* no page tables translate it */

/* @errno_pointer passes an error pointer in place of NULL. */
struct iommu_ktest_aux_misuse {
	iommu_ktest_bdf device;
	__u32 domain;
	__u32 what;
	__u32 errno_pointer;
};

#define IOMMU_KTEST_DOMAIN_ALLOC	_IOWR(0xb7, 0, struct iommu_ktest_domain)
#define IOMMU_KTEST_DOMAIN_FREE		_IOW(0xb7, 1, __u32)
#define IOMMU_KTEST_ATTACH		_IOW(0xb7, 2, struct iommu_ktest_attach)
#define IOMMU_KTEST_REPLACE		_IOW(0xb7, 3, struct iommu_ktest_attach)
#define IOMMU_KTEST_DETACH		_IOW(0xb7, 4, struct iommu_ktest_attach)
#define IOMMU_KTEST_MAP			_IOW(0xb7, 5, struct iommu_ktest_map)
#define IOMMU_KTEST_UNMAP		_IOWR(0xb7, 6, struct iommu_ktest_unmap)
#define IOMMU_KTEST_IOVA_TO_PHYS	_IOWR(0xb7, 7, struct iommu_ktest_phys)
#define IOMMU_KTEST_BUFFER_ALLOC	_IOWR(0xb7, 8, struct iommu_ktest_buffer)
#define IOMMU_KTEST_BUFFER_FREE		_IOW(0xb7, 9, __u32)
#define IOMMU_KTEST_DMA_MAP		_IOWR(0xb7, 10, struct iommu_ktest_dma)
#define IOMMU_KTEST_DMA_UNMAP		_IOW(0xb7, 11, struct iommu_ktest_dma)
#define IOMMU_KTEST_AUX_CAPABLE		_IOWR(0xb7, 12, struct iommu_ktest_aux_query)
#define IOMMU_KTEST_AUX_ENABLE		_IOW(0xb7, 13, iommu_ktest_bdf)
#define IOMMU_KTEST_AUX_DISABLE		_IOW(0xb7, 14, iommu_ktest_bdf)
#define IOMMU_KTEST_AUX_ATTACH		_IOW(0xb7, 15, struct iommu_ktest_aux)
#define IOMMU_KTEST_AUX_DETACH		_IOW(0xb7, 16, struct iommu_ktest_aux)
#define IOMMU_KTEST_AUX_ID		_IOWR(0xb7, 17, struct iommu_ktest_aux_query)
#define IOMMU_KTEST_AUX_LISTEN		_IOW(0xb7, 18, struct iommu_ktest_aux)
#define IOMMU_KTEST_AUX_UNLISTEN	_IOW(0xb7, 19, struct iommu_ktest_aux)
#define IOMMU_KTEST_AUX_FAULTS		_IOWR(0xb7, 20, struct iommu_ktest_aux_faults)
#define IOMMU_KTEST_AUX_MISUSE		_IOWR(0xb7, 21, struct iommu_ktest_aux_misuse)
/* When this function's driver is unbound, leave its auxiliary domains to iommu_aux. */
#define IOMMU_KTEST_AUX_LEAVE		_IOW(0xb7, 22, iommu_ktest_bdf)
/* Marks this function as removed without notice, as the hotplug driver does without a link. */
#define IOMMU_KTEST_DISCONNECT		_IOW(0xb7, 23, iommu_ktest_bdf)

#endif
