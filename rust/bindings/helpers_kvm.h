/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIOV_HELPERS_KVM_H
#define SIOV_HELPERS_KVM_H

#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mutex_types.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

struct dentry;
struct kvm;
struct kvm_io_device;

enum siov_kvm_layout {
	SIOV_KVM_RING_ENTRIES = KVM_COALESCED_MMIO_MAX,
};

void *siov_helper_kvm_alloc_ring(void);
void siov_helper_kvm_set_ring(struct kvm *kvm, void *ring);
void siov_helper_kvm_free_ring(struct kvm *kvm);
void *siov_helper_kvm_ring(struct kvm *kvm);
spinlock_t *siov_helper_kvm_ring_lock(struct kvm *kvm);
struct mutex *siov_helper_kvm_slots_lock(struct kvm *kvm);
struct dentry *siov_helper_kvm_debugfs(struct kvm *kvm);
struct list_head *siov_helper_kvm_zones(struct kvm *kvm);
void siov_helper_kvm_add_first(struct kvm *kvm, struct list_head *list);
void siov_helper_kvm_add_zone(struct kvm *kvm, struct list_head *list);
void siov_helper_kvm_remove_zone(struct list_head *list);
int siov_helper_kvm_register_dev(struct kvm *kvm, bool pio, u64 addr, int len,
				 struct kvm_io_device *dev);
int siov_helper_kvm_unregister_dev(struct kvm *kvm, bool pio, struct kvm_io_device *dev);

#endif
