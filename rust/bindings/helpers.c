// SPDX-License-Identifier: GPL-2.0
/*
 * C functions for what is inline or a macro in the kernel's headers and absent from the kernel
 * crate's own helpers.
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <asm/apic.h>
#include <asm/hw_irq.h>
#include <../drivers/iommu/iommu-pages.h>

#include "helpers.h"

/* list_add() keeps the checks of CONFIG_DEBUG_LIST and CONFIG_LIST_HARDENED. */
void siov_helper_iommu_pages_list_add(struct iommu_pages_list *list, void *virt)
{
	iommu_pages_list_add(list, virt);
}

void siov_helper_list_add_tail(struct list_head *new, struct list_head *head)
{
	list_add_tail(new, head);
}

/* This file is linked into each module. */
bool siov_helper_module_is_going(void)
{
	return READ_ONCE(THIS_MODULE->state) == MODULE_STATE_GOING;
}

bool siov_helper_irqs_disabled(void)
{
	return irqs_disabled();
}

int siov_helper_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

void siov_helper_device_lock(struct device *dev)
{
	device_lock(dev);
}

bool siov_helper_device_trylock(struct device *dev)
{
	return device_trylock(dev);
}

void siov_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

bool siov_helper_dev_is_bound_to(struct device *dev, const char *name)
{
	bool bound;

	device_lock(dev);
	bound = dev->driver && !strcmp(dev->driver->name, name);
	device_unlock(dev);
	return bound;
}

bool siov_helper_pci_is_untrusted(struct pci_dev *pdev)
{
	return pdev->untrusted;
}

struct pci_dev *siov_helper_pci_physfn(struct pci_dev *pdev)
{
	return pci_physfn(pdev);
}

/* pci_real_dma_dev() is not exported. */
struct pci_dev *siov_helper_pci_real_dma_dev(struct pci_dev *pdev)
{
#if IS_ENABLED(CONFIG_VMD)
	if (is_vmd(pdev->bus))
		return to_pci_sysdata(pdev->bus)->vmd_dev;
#endif
	return pdev;
}

/* pci_ats_page_aligned() is not exported. */
bool siov_helper_pci_ats_page_aligned(struct pci_dev *pdev)
{
	u16 cap;

	pdev = pci_physfn(pdev);
	if (!pdev->ats_cap || pci_read_config_word(pdev, pdev->ats_cap + PCI_ATS_CAP, &cap))
		return false;
	return cap & PCI_ATS_CAP_PAGE_ALIGNED;
}

/* pci_ats_queue_depth() is not exported. */
int siov_helper_pci_ats_queue_depth(struct pci_dev *pdev)
{
	u16 cap;

	pdev = pci_physfn(pdev);
	if (!pdev->ats_cap || pci_read_config_word(pdev, pdev->ats_cap + PCI_ATS_CAP, &cap))
		return 1;
	return PCI_ATS_CAP_QDEP(cap) ? PCI_ATS_CAP_QDEP(cap) : PCI_ATS_MAX_QDEP;
}

/* What a device writes, and where, to raise this interrupt; 32-bit destinations, as units have. */
void siov_helper_compose_dmar_msg(struct irq_data *data, u32 *address_lo, u32 *address_hi, u32 *value)
{
	struct irq_cfg *cfg = irqd_cfg(data);
	struct msi_msg msg = {};

	msg.arch_data.vector = cfg->vector;
	msg.arch_addr_lo.base_address = X86_MSI_BASE_ADDRESS_LOW;
	msg.arch_addr_lo.dest_mode_logical = apic->dest_mode_logical;
	msg.arch_addr_lo.destid_0_7 = cfg->dest_apicid & 0xff;
	msg.arch_addr_hi.destid_8_31 = cfg->dest_apicid >> 8;

	*address_lo = msg.address_lo;
	*address_hi = msg.address_hi;
	*value = msg.data;
}

/* In seconds: the HZ that bindgen finds is that of user space. */
void siov_helper_ratelimit_init(struct ratelimit_state *rs, int seconds, int burst)
{
	ratelimit_state_init(rs, seconds * HZ, burst);
}

void siov_helper_udelay(unsigned long usecs)
{
	udelay(usecs);
}

struct fwnode_handle *siov_helper_irq_domain_alloc_fwnode(const char *name)
{
	return irq_domain_alloc_named_fwnode(name);
}

void siov_helper_raw_spin_lock_init(raw_spinlock_t *lock, const char *name,
				    struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	__raw_spin_lock_init(lock, name, key, LD_WAIT_SPIN);
#else
	raw_spin_lock_init(lock);
#endif
}

bool siov_helper_raw_spin_trylock_irqsave(raw_spinlock_t *lock, unsigned long *flags)
{
	return raw_spin_trylock_irqsave(lock, *flags);
}

void siov_helper_raw_spin_assert_is_held(raw_spinlock_t *lock)
{
	lockdep_assert_held(lock);
}

irqreturn_t siov_helper_irqreturn(bool handled)
{
	return IRQ_RETVAL(handled);
}

/* For rust/linux/module.rs. This file is linked into each module: each has a mutex of its own. */
static DEFINE_MUTEX(in_use_mutex);

void siov_helper_module_lock(void)
{
	mutex_lock(&in_use_mutex);
}

void siov_helper_module_unlock(void)
{
	mutex_unlock(&in_use_mutex);
}

void siov_helper_module_leaked(const char *what, size_t count)
{
	pr_crit("%s: %s still registered (%zu): the module is not unloaded, rmmod does not return\n",
		THIS_MODULE->name, what, count);
}

/* mdev */
const char *siov_helper_dev_name(struct device *dev)
{
	return dev_name(dev);
}

/* The lock of a parent of mediated devices; one class for all of them, as in C. */
void siov_helper_init_mdev_unreg_sem(struct rw_semaphore *sem)
{
	init_rwsem(sem);
}

/* BARs in memory: the address of one of I/O ports is that of something else there. */
static bool is_memory_bar(struct pci_dev *pdev, int bar)
{
	return bar >= 0 && bar < PCI_STD_NUM_BARS && pci_resource_flags(pdev, bar) & IORESOURCE_MEM;
}

resource_size_t siov_helper_pci_resource_start(struct pci_dev *pdev, int bar)
{
	return is_memory_bar(pdev, bar) ? pci_resource_start(pdev, bar) : 0;
}

resource_size_t siov_helper_pci_resource_len(struct pci_dev *pdev, int bar)
{
	return is_memory_bar(pdev, bar) ? pci_resource_len(pdev, bar) : 0;
}

unsigned long siov_helper_vma_size(struct vm_area_struct *vma)
{
	return vma->vm_end - vma->vm_start;
}

bool siov_helper_vma_is_shared(struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_SHARED;
}

/* Within the page. */
void siov_helper_page_read(struct page *page, size_t offset, void *to, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

void siov_helper_page_write(struct page *page, size_t offset, const void *from, size_t len)
{
	memcpy_to_page(page, offset, from, len);
}

/* Registers of a device, uncached; the whole of the mapping. */
int siov_helper_vma_map_registers(struct vm_area_struct *vma, phys_addr_t phys)
{
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	return io_remap_pfn_range(vma, vma->vm_start, PHYS_PFN(phys),
				  vma->vm_end - vma->vm_start,
				  vma->vm_page_prot);
}
