// SPDX-License-Identifier: GPL-2.0
/*
 * coalesced_io_livepatch.ko: coalesced I/O in Rust for a kvm.ko that stays as it is. Described in
 * Documentation/virt/kvm/coalesced-io.rst.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kvm_host.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <kvm/iodev.h>
#include <../virt/kvm/coalesced_mmio.h>

#include "coalesced_io.h"

/* Found by livepatch, like those of rust/bindings/helpers_kvm.c. */
#pragma weak kvm_lock
#pragma weak vm_list
#pragma weak kvm_put_kvm

/*
 * Whether scripts/lib/klp-link has written the module, and no other tool after it. Without it,
 * functions at address 0 would be called; and strip(1) drops from its relocations which section
 * they are for, whereupon livepatch would write to addresses that begin at 0.
 */
static bool is_linked(void)
{
	const struct klp_modinfo *info = THIS_MODULE->klp_info;
	bool found = false;
	unsigned int i;

	for (i = 1; i < info->hdr.e_shnum; i++) {
		if (!(info->sechdrs[i].sh_flags & SHF_RELA_LIVEPATCH))
			continue;
		if (!info->sechdrs[i].sh_info)
			return false;
		found = true;
	}
	return found;
}

/*
 * Writes that wait and zones would survive the change, but the counters would lack what came
 * before; and an operator who patches a host at work should know.
 */
static int refuse_while_vms_exist(struct klp_object *obj)
{
	struct kvm *kvm;
	unsigned int count = 0;

	mutex_lock(&kvm_lock);
	list_for_each_entry(kvm, &vm_list, vm_list)
		count++;
	mutex_unlock(&kvm_lock);
	if (!count)
		return 0;
	pr_err("%u virtual machine%s of KVM exist%s: load this before the first one starts\n", count,
	       count == 1 ? "" : "s", count == 1 ? "s" : "");
	return -EBUSY;
}

/*
 * VMs that were made in the meantime go on with the zones that they have. Each of these keeps the
 * data of its VM, and the module.
 *
 * Each VM waits for the readers of its counters, so this holds references in place of kvm_lock,
 * which a VM takes to leave the list. VMs that are ending get none: KVM removes their folder in
 * debugfs first.
 *
 * Lock order: kvm_lock is not held around slots_lock.
 */
static void retire_vms(struct klp_object *obj)
{
	size_t count, held = 0, i;
	struct kvm **vms, *kvm;

	mutex_lock(&kvm_lock);
	count = list_count_nodes(&vm_list);
	mutex_unlock(&kvm_lock);
	if (!count)
		return;
	vms = kvmalloc_array(count, sizeof(*vms), GFP_KERNEL | __GFP_NOFAIL);

	mutex_lock(&kvm_lock);
	/* The oldest first: VMs that come now are C's alone. */
	list_for_each_entry_reverse(kvm, &vm_list, vm_list) {
		if (held == count)
			break;
		if (refcount_inc_not_zero(&kvm->users_count))
			vms[held++] = kvm;
	}
	mutex_unlock(&kvm_lock);

	for (i = 0; i < held; i++) {
		siov_coalesced_io_retire(vms[i]);
		kvm_put_kvm(vms[i]);
	}
	kvfree(vms);
}

/*
 * The lock of the ring outlives this module in VMs without zones, and lockdep asks for its class's
 * name and key as long as it does. It gets those of a lock that kvm.ko has given them: one inside
 * of which no lock is taken either, and that is never held around this one.
 */
static int init_vm(struct kvm *kvm)
{
	int ret = kvm_coalesced_mmio_init(kvm);

#ifdef CONFIG_DEBUG_LOCK_ALLOC
	if (!ret)
		lockdep_copy_map(&kvm->ring_lock.dep_map, &kvm->mn_invalidate_lock.dep_map);
#endif
	return ret;
}

#define REPLACE_BY(function, by) { .old_name = #function, .new_func = by }
#define REPLACE(function) REPLACE_BY(function, function)

static struct klp_func funcs[] = {
	REPLACE_BY(kvm_coalesced_mmio_init, init_vm),
	REPLACE(kvm_coalesced_mmio_free),
	REPLACE(kvm_vm_ioctl_register_coalesced_mmio),
	REPLACE(kvm_vm_ioctl_unregister_coalesced_mmio),
	{ }
};

static struct klp_object objects[] = {
	{
		.name = "kvm",
		.funcs = funcs,
		.callbacks = {
			.pre_patch = refuse_while_vms_exist,
			.post_unpatch = retire_vms,
		},
	},
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int __init livepatch_init(void)
{
	if (!is_linked()) {
		pr_err("not linked for livepatch, or stripped afterwards: use the module built by scripts/build\n");
		return -ENOEXEC;
	}
	return klp_enable_patch(&patch);
}
module_init(livepatch_init);

/*
 * The patch is disabled, and no task runs its functions. But KVM's own code calls the destructor of
 * a zone, which drops the zone's reference to this module as the last thing: the task may have been
 * preempted between that and its return to kvm.ko. It does not sleep there, so a grace period of
 * Tasks RCU ends after its return.
 */
static void __exit livepatch_exit(void)
{
	synchronize_rcu_tasks();
}
module_exit(livepatch_exit);

MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("KVM's coalesced MMIO and PIO in Rust, as a live patch");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
