/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIOV_HELPERS_VFIO_H
#define SIOV_HELPERS_VFIO_H

#include <linux/types.h>

struct list_head;
struct mm_struct;
struct vfio_device;

/* What a page frame is to a driver that pins memory. */
enum siov_vfio_frame {
	SIOV_VFIO_FRAME_MEMORY,		/* pages of it are pinned and accounted */
	SIOV_VFIO_FRAME_RESERVED,	/* has a struct page, but is not managed as memory */
	SIOV_VFIO_FRAME_BARE,		/* has no struct page */
};

enum siov_vfio_frame siov_vfio_frame(unsigned long pfn);
unsigned long siov_vfio_bare_frames(unsigned long pfn, unsigned long max);
void siov_vfio_cond_resched(void);
int siov_vfio_mmap_write_lock_killable(struct mm_struct *mm);
void siov_vfio_mmap_write_unlock(struct mm_struct *mm);
unsigned long siov_vfio_untagged_addr(struct mm_struct *mm, unsigned long addr);
bool siov_vfio_access_ok(unsigned long addr, unsigned long size);
bool siov_vfio_device_pins(struct vfio_device *vdev);
void siov_vfio_device_list_add(struct vfio_device *vdev, struct list_head *head);
void siov_vfio_device_list_del(struct vfio_device *vdev);
void siov_vfio_device_list_dma_unmap(struct list_head *head, u64 iova, u64 length);

#endif
