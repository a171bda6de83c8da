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
 * In kvm.ko these are found at once; in a live patch they stay open, and scripts/lib/klp-link turns them into
 * relocations that livepatch resolves.
 */
#pragma weak kvm_io_bus_register_dev
#pragma weak kvm_io_bus_unregister_dev

/* The same numbers as in rust/ring and rust/linux/kvm. */
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

/* User space maps the page; it counts as memory of whoever makes the VM. */
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

struct list_head *siov_helper_kvm_zones(struct kvm *kvm)
{
	return &kvm->coalesced_zones;
}

void siov_helper_kvm_add_first(struct kvm *kvm, struct list_head *list)
{
	list_add(list, &kvm->coalesced_zones);
}

void siov_helper_kvm_add_zone(struct kvm *kvm, struct list_head *list)
{
	list_add_tail(list, &kvm->coalesced_zones);
}

void siov_helper_kvm_remove_zone(struct list_head *list)
{
	list_del(list);
}

int siov_helper_kvm_register_dev(struct kvm *kvm, bool pio, u64 addr, int len,
				 struct kvm_io_device *dev)
{
	return kvm_io_bus_register_dev(kvm, pio ? KVM_PIO_BUS : KVM_MMIO_BUS, addr, len, dev);
}

int siov_helper_kvm_unregister_dev(struct kvm *kvm, bool pio, struct kvm_io_device *dev)
{
	return kvm_io_bus_unregister_dev(kvm, pio ? KVM_PIO_BUS : KVM_MMIO_BUS, dev);
}
