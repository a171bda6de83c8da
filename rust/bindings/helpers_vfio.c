// SPDX-License-Identifier: GPL-2.0
/*
 * As helpers.c, for what a driver of VFIO containers needs.
 */
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include <../drivers/vfio/vfio.h>

#include "helpers_vfio.h"

enum siov_vfio_frame siov_vfio_frame(unsigned long pfn)
{
	if (!pfn_valid(pfn))
		return SIOV_VFIO_FRAME_BARE;
	return PageReserved(pfn_to_page(pfn)) ? SIOV_VFIO_FRAME_RESERVED : SIOV_VFIO_FRAME_MEMORY;
}

/* How many of max frames from pfn on come before the first that is memory. */
unsigned long siov_vfio_bare_frames(unsigned long pfn, unsigned long max)
{
	unsigned long n = 0;

	while (n < max) {
		if (!pfn_valid(pfn + n))
			/* All of a subsection has page structures, or nothing of it. */
			n += PAGES_PER_SUBSECTION - (pfn + n) % PAGES_PER_SUBSECTION;
		else if (PageReserved(pfn_to_page(pfn + n)))
			n++;
		else
			return n;
	}
	return max;
}

void siov_vfio_cond_resched(void)
{
	cond_resched();
}

bool siov_vfio_is_being_killed(void)
{
	return fatal_signal_pending(current);
}

int siov_vfio_mmap_write_lock_killable(struct mm_struct *mm)
{
	return mmap_write_lock_killable(mm);
}

void siov_vfio_mmap_write_lock(struct mm_struct *mm)
{
	mmap_write_lock(mm);
}

void siov_vfio_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

/* The caller holds the mmap lock. */
unsigned long siov_vfio_untagged_addr(struct mm_struct *mm, unsigned long addr)
{
	return untagged_addr_remote(mm, addr);
}

/* With the lock held that the callback takes. */
bool siov_vfio_interval_changed(struct mmu_interval_notifier *notifier, unsigned long seq)
{
	return mmu_interval_read_retry(notifier, seq);
}

/* In the callback, with its lock held. */
void siov_vfio_interval_set_changed(struct mmu_interval_notifier *notifier, unsigned long seq)
{
	mmu_interval_set_seq(notifier, seq);
}

/*
 * Whether the area maps registers of a VFIO device, and the group of that, without a reference: it
 * stays as long as the area does. The caller holds the mmap lock.
 */
bool siov_vfio_owner(struct vm_area_struct *vma, struct iommu_group **group)
{
	struct vfio_device_file *df;

	/* Groups cannot be mapped. */
	if (!vma->vm_file || !vfio_file_is_valid(vma->vm_file))
		return false;
	df = vma->vm_file->private_data;
	*group = df->device->group->iommu_group;
	return true;
}

bool siov_vfio_access_ok(unsigned long addr, unsigned long size)
{
	return access_ok((void __user *)addr, size);
}

bool siov_vfio_device_pins(struct vfio_device *vdev)
{
	return vdev->ops->dma_unmap;
}

void siov_vfio_device_list_add(struct vfio_device *vdev, struct list_head *head)
{
	list_add(&vdev->iommu_entry, head);
}

void siov_vfio_device_list_del(struct vfio_device *vdev)
{
	list_del(&vdev->iommu_entry);
}

void siov_vfio_device_list_dma_unmap(struct list_head *head, u64 iova, u64 length)
{
	struct vfio_device *vdev;

	list_for_each_entry(vdev, head, iommu_entry)
		vdev->ops->dma_unmap(vdev, iova, length);
}
