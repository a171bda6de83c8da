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
struct kvm_coalesced_mmio_dev;

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
struct kvm_coalesced_mmio_dev *siov_helper_kvm_next_dev(struct kvm *kvm,
							struct kvm_coalesced_mmio_dev *dev);
void siov_helper_kvm_add_first(struct kvm *kvm, struct kvm_coalesced_mmio_dev *dev);
void siov_helper_kvm_remove_dev(struct kvm_coalesced_mmio_dev *dev);
int siov_helper_kvm_register(struct kvm *kvm, struct kvm_coalesced_mmio_dev *dev);
int siov_helper_kvm_unregister(struct kvm *kvm, struct kvm_coalesced_mmio_dev *dev);

#endif
