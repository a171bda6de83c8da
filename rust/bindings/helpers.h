/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIOV_HELPERS_H
#define SIOV_HELPERS_H

#include <linux/irqreturn.h>
#include <linux/lockdep_types.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

struct device;
struct fwnode_handle;
struct iommu_pages_list;
struct irq_data;
struct pci_bus;
struct pci_dev;
struct ratelimit_state;

void siov_helper_iommu_pages_list_add(struct iommu_pages_list *list, void *virt);
void siov_helper_list_add_tail(struct list_head *new, struct list_head *head);
int siov_helper_dev_to_node(struct device *dev);
bool siov_helper_irqs_disabled(void);
bool siov_helper_module_is_going(void);
void siov_helper_device_lock(struct device *dev);
bool siov_helper_device_trylock(struct device *dev);
void siov_helper_device_unlock(struct device *dev);
bool siov_helper_dev_is_bound_to(struct device *dev, const char *name);
bool siov_helper_pci_is_untrusted(struct pci_dev *pdev);
struct pci_dev *siov_helper_pci_physfn(struct pci_dev *pdev);
struct pci_dev *siov_helper_pci_real_dma_dev(struct pci_dev *pdev);
bool siov_helper_pci_ats_page_aligned(struct pci_dev *pdev);
int siov_helper_pci_ats_queue_depth(struct pci_dev *pdev);
void siov_helper_compose_dmar_msg(struct irq_data *data, u32 *address_lo, u32 *address_hi,
				  u32 *value);
struct fwnode_handle *siov_helper_irq_domain_alloc_fwnode(const char *name);
void siov_helper_ratelimit_init(struct ratelimit_state *rs, int seconds, int burst);
void siov_helper_udelay(unsigned long usecs);
void siov_helper_raw_spin_lock_init(raw_spinlock_t *lock, const char *name,
				    struct lock_class_key *key);
bool siov_helper_raw_spin_trylock_irqsave(raw_spinlock_t *lock, unsigned long *flags);
void siov_helper_raw_spin_assert_is_held(raw_spinlock_t *lock);
irqreturn_t siov_helper_irqreturn(bool handled);
void siov_helper_module_lock(void);
void siov_helper_module_unlock(void);
void siov_helper_module_leaked(const char *what, size_t count);

/* mdev */
struct rw_semaphore;
const char *siov_helper_dev_name(struct device *dev);
void siov_helper_init_mdev_unreg_sem(struct rw_semaphore *sem);

/* vfio */
struct vm_area_struct;
resource_size_t siov_helper_pci_resource_start(struct pci_dev *pdev, int bar);
resource_size_t siov_helper_pci_resource_len(struct pci_dev *pdev, int bar);
unsigned long siov_helper_vma_size(struct vm_area_struct *vma);
bool siov_helper_vma_is_shared(struct vm_area_struct *vma);
void siov_helper_page_read(struct page *page, size_t offset, void *to, size_t len);
void siov_helper_page_write(struct page *page, size_t offset, const void *from, size_t len);
int siov_helper_vma_map_registers(struct vm_area_struct *vma, phys_addr_t phys);

#endif
