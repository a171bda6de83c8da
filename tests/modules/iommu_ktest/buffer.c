// SPDX-License-Identifier: GPL-2.0
/* Memory that user space and devices share, and the DMA API. */
#include <linux/dma-mapping.h>
#include <linux/mm.h>

#include "ktest.h"

#define KTEST_BUFFER_SHIFT	40	/* of the buffer's number in an mmap() offset */

int ktest_buffer_alloc(struct ktest_file *file, struct iommu_ktest_buffer *arg)
{
	struct ktest_buffer *buffer;
	int ret;

	if (arg->order > MAX_PAGE_ORDER)
		return -EINVAL;
	buffer = kzalloc_obj(*buffer);
	if (!buffer)
		return -ENOMEM;
	INIT_LIST_HEAD(&buffer->dma);
	buffer->order = arg->order;
	buffer->pages = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN, arg->order);
	if (!buffer->pages) {
		kfree(buffer);
		return -ENOMEM;
	}
	ret = xa_alloc(&file->buffers, &arg->buffer, buffer, xa_limit_16b, GFP_KERNEL);
	if (ret) {
		__free_pages(buffer->pages, buffer->order);
		kfree(buffer);
		return ret;
	}
	arg->phys = page_to_phys(buffer->pages);
	arg->offset = (u64)arg->buffer << KTEST_BUFFER_SHIFT;
	return 0;
}

static void ktest_dma_release(struct ktest_dma *dma)
{
	dma_unmap_page(&dma->pdev->dev, dma->address, dma->size, dma->direction);
	list_del(&dma->node);
	kfree(dma);
}

void ktest_buffer_release(struct ktest_buffer *buffer)
{
	struct ktest_dma *dma, *next;

	list_for_each_entry_safe(dma, next, &buffer->dma, node)
		ktest_dma_release(dma);
	__free_pages(buffer->pages, buffer->order);
	kfree(buffer);
}

/* Unmaps what is mapped for @pdev. */
void ktest_buffer_forget(struct ktest_buffer *buffer, struct pci_dev *pdev)
{
	struct ktest_dma *dma, *next;

	list_for_each_entry_safe(dma, next, &buffer->dma, node)
		if (dma->pdev == pdev)
			ktest_dma_release(dma);
}

/* Only for buffers that no domain maps any more; a user mapping keeps the pages on its own. */
int ktest_buffer_free(struct ktest_file *file, u32 *number)
{
	struct ktest_buffer *buffer = xa_erase(&file->buffers, *number);

	if (!buffer)
		return -ENOENT;
	ktest_buffer_release(buffer);
	return 0;
}

/* The caller holds ktest_lock. */
int ktest_buffer_mmap(struct ktest_file *file, struct vm_area_struct *vma)
{
	unsigned long shift = KTEST_BUFFER_SHIFT - PAGE_SHIFT;
	unsigned long first = vma->vm_pgoff & ((1UL << shift) - 1);
	unsigned long number = vma->vm_pgoff >> shift;
	unsigned long pages = vma_pages(vma);
	struct ktest_buffer *buffer;
	unsigned long addr = vma->vm_start;
	int ret = 0;

	buffer = xa_load(&file->buffers, number);
	if (!buffer)
		return -ENOENT;
	if (first >= 1UL << buffer->order || pages > (1UL << buffer->order) - first)
		return -EINVAL;
	for (; !ret && addr < vma->vm_end; addr += PAGE_SIZE)
		ret = vm_insert_page(vma, addr, buffer->pages + first++);
	return ret;
}

int ktest_dma_map(struct ktest_file *file, struct iommu_ktest_dma *arg)
{
	struct ktest_buffer *buffer = xa_load(&file->buffers, arg->buffer);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_dma *dma;
	int ret;

	if (!buffer || !pdev)
		return -ENODEV;
	if (arg->direction > DMA_FROM_DEVICE || !arg->size || !arg->mask_bits || arg->mask_bits > 64 ||
	    (u64)arg->offset + arg->size > PAGE_SIZE << buffer->order)
		return -EINVAL;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(arg->mask_bits));
	if (ret)
		return ret;
	dma = kzalloc_obj(*dma);
	if (!dma)
		return -ENOMEM;
	dma->pdev = pdev;
	dma->size = arg->size;
	dma->direction = arg->direction;
	dma->address = dma_map_page(&pdev->dev, buffer->pages, arg->offset, arg->size, arg->direction);
	ret = dma_mapping_error(&pdev->dev, dma->address);
	if (ret) {
		kfree(dma);
		return ret;
	}
	list_add_tail(&dma->node, &buffer->dma);
	arg->address = dma->address;
	return 0;
}

int ktest_dma_unmap(struct ktest_file *file, struct iommu_ktest_dma *arg)
{
	struct ktest_buffer *buffer = xa_load(&file->buffers, arg->buffer);
	struct pci_dev *pdev = ktest_find(arg->device);
	struct ktest_dma *dma;

	if (!buffer || !pdev)
		return -ENODEV;
	list_for_each_entry(dma, &buffer->dma, node) {
		if (dma->pdev == pdev && dma->address == arg->address) {
			ktest_dma_release(dma);
			return 0;
		}
	}
	return -ENOENT;
}
