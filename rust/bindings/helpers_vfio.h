/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIOV_HELPERS_VFIO_H
#define SIOV_HELPERS_VFIO_H

#include <linux/types.h>

struct iommu_group;
struct list_head;
struct mm_struct;
struct mmu_interval_notifier;
struct vfio_device;
struct vm_area_struct;

/* What a page frame is to a driver that pins memory. */
enum siov_vfio_frame {
	SIOV_VFIO_FRAME_MEMORY,		/* pages of it are pinned and accounted */
	SIOV_VFIO_FRAME_RESERVED,	/* has a struct page, but is not managed as memory */
	SIOV_VFIO_FRAME_BARE,		/* has no struct page */
};

enum siov_vfio_frame siov_vfio_frame(unsigned long pfn);
unsigned long siov_vfio_bare_frames(unsigned long pfn, unsigned long max);
void siov_vfio_cond_resched(void);
bool siov_vfio_is_being_killed(void);
int siov_vfio_mmap_write_lock_killable(struct mm_struct *mm);
void siov_vfio_mmap_write_lock(struct mm_struct *mm);
void siov_vfio_mmap_write_unlock(struct mm_struct *mm);
unsigned long siov_vfio_untagged_addr(struct mm_struct *mm, unsigned long addr);
bool siov_vfio_interval_changed(struct mmu_interval_notifier *notifier, unsigned long seq);
void siov_vfio_interval_set_changed(struct mmu_interval_notifier *notifier, unsigned long seq);
bool siov_vfio_owner(struct vm_area_struct *vma, struct iommu_group **group);
bool siov_vfio_access_ok(unsigned long addr, unsigned long size);
bool siov_vfio_device_pins(struct vfio_device *vdev);
void siov_vfio_device_list_add(struct vfio_device *vdev, struct list_head *head);
void siov_vfio_device_list_del(struct vfio_device *vdev);
void siov_vfio_device_list_dma_unmap(struct list_head *head, u64 iova, u64 length);

#endif
