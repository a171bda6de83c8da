// SPDX-License-Identifier: GPL-2.0
/*
 * What coalesced I/O needs of struct kvm, whose layout only the C compiler knows, and of KVM's own
 * functions. Becomes part of kvm.ko, or of a live patch of it.
 */
#include <linux/gfp.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <kvm/iodev.h>
#include <../virt/kvm/coalesced_mmio.h>

#include "helpers_kvm.h"

/*
 * In kvm.ko these are found at once; in a live patch they stay open, and scripts/lib/klp-link turns
 * them into relocations that livepatch resolves.
 */
#pragma weak kvm_io_bus_register_dev
#pragma weak kvm_io_bus_unregister_dev

/* The same numbers as in rust/ring and virt/kvm/sys. */
static_assert(KVM_COALESCED_MMIO_MAX == 170);
static_assert(sizeof(struct kvm_coalesced_mmio_ring) == 8);
static_assert(offsetof(struct kvm_coalesced_mmio_ring, first) == 0);
static_assert(offsetof(struct kvm_coalesced_mmio_ring, last) == 4);
static_assert(offsetof(struct kvm_coalesced_mmio_ring, coalesced_mmio) == 8);
static_assert(sizeof(struct kvm_coalesced_mmio) == 24);
static_assert(offsetof(struct kvm_coalesced_mmio, phys_addr) == 0);
static_assert(offsetof(struct kvm_coalesced_mmio, len) == 8);
static_assert(offsetof(struct kvm_coalesced_mmio, pio) == 12);
static_assert(offsetof(struct kvm_coalesced_mmio, data) == 16);
static_assert(sizeof(struct kvm_coalesced_mmio_zone) == 16);
static_assert(sizeof(struct kvm_coalesced_mmio_dev) == 48);
static_assert(offsetof(struct kvm_coalesced_mmio_dev, list) == 0);
static_assert(offsetof(struct kvm_coalesced_mmio_dev, dev) == 16);
static_assert(offsetof(struct kvm_coalesced_mmio_dev, kvm) == 24);
static_assert(offsetof(struct kvm_coalesced_mmio_dev, zone) == 32);

/* User space maps the page; it is charged to the process that makes the VM. */
void *siov_helper_kvm_alloc_ring(void)
{
	return (void *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

void siov_helper_kvm_set_ring(struct kvm *kvm, void *ring)
{
	kvm->coalesced_mmio_ring = ring;
	spin_lock_init(&kvm->ring_lock);
	INIT_LIST_HEAD(&kvm->coalesced_zones);
}

void siov_helper_kvm_free_ring(struct kvm *kvm)
{
	free_page((unsigned long)kvm->coalesced_mmio_ring);
}

void *siov_helper_kvm_ring(struct kvm *kvm)
{
	return kvm->coalesced_mmio_ring;
}

spinlock_t *siov_helper_kvm_ring_lock(struct kvm *kvm)
{
	return &kvm->ring_lock;
}

struct mutex *siov_helper_kvm_slots_lock(struct kvm *kvm)
{
	return &kvm->slots_lock;
}

struct dentry *siov_helper_kvm_debugfs(struct kvm *kvm)
{
	return kvm->debugfs_dentry;
}

/* The element after dev, or the first one for NULL; NULL at the end. */
struct kvm_coalesced_mmio_dev *siov_helper_kvm_next_dev(struct kvm *kvm,
							struct kvm_coalesced_mmio_dev *dev)
{
	struct list_head *next = dev ? dev->list.next : kvm->coalesced_zones.next;

	return next == &kvm->coalesced_zones ?
		       NULL : list_entry(next, struct kvm_coalesced_mmio_dev, list);
}

void siov_helper_kvm_add_first(struct kvm *kvm, struct kvm_coalesced_mmio_dev *dev)
{
	list_add(&dev->list, &kvm->coalesced_zones);
}

void siov_helper_kvm_remove_dev(struct kvm_coalesced_mmio_dev *dev)
{
	list_del(&dev->list);
}

/* Puts dev on the bus of its zone and at the end of the list. */
int siov_helper_kvm_register(struct kvm *kvm, struct kvm_coalesced_mmio_dev *dev)
{
	int ret = kvm_io_bus_register_dev(kvm, dev->zone.pio ? KVM_PIO_BUS : KVM_MMIO_BUS,
					  dev->zone.addr, dev->zone.size, &dev->dev);

	if (!ret)
		list_add_tail(&dev->list, &kvm->coalesced_zones);
	return ret;
}

int siov_helper_kvm_unregister(struct kvm *kvm, struct kvm_coalesced_mmio_dev *dev)
{
	return kvm_io_bus_unregister_dev(kvm, dev->zone.pio ? KVM_PIO_BUS : KVM_MMIO_BUS,
					 &dev->dev);
}
