// SPDX-License-Identifier: GPL-2.0
/*
 * coalesced_io_livepatch.ko: coalesced I/O in Rust for a kvm.ko that stays as it is. Described in
 * Documentation/virt/kvm/coalesced-io.rst.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kvm_host.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <kvm/iodev.h>
#include <../virt/kvm/coalesced_mmio.h>

#include "coalesced_io.h"

/* Found by livepatch, like those of rust/bindings/helpers_kvm.c. */
#pragma weak kvm_lock
#pragma weak vm_list
#pragma weak kvm_put_kvm

/*
 * Whether scripts/lib/klp-link was the last to touch the module. Without it, functions at address 0 would be
 * called; and strip(1) drops from its relocations which section they are for, whereupon livepatch would write
 * to addresses that begin at 0.
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
 * Writes that wait and zones would survive the change, but whoever reads the counters would miss what came
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
 * VMs that were made in the meantime go on with what zones they have; the last of these takes what we keep
 * per VM, and lets go of the module.
 *
 * Each VM waits for who reads its counters, so this holds references in place of kvm_lock, which a VM takes to
 * leave the list. VMs that are ending get none: their folder in debugfs goes before they leave the list.
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
 * The lock of the ring outlives this module in VMs without zones, and lockdep asks for its class's name and
 * key as long as it does. It gets those of a lock that kvm.ko has given them: one inside of which no lock is
 * taken either, and that is never held around this one.
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
		pr_err("not linked for livepatch, or stripped afterwards: take it as scripts/build makes it\n");
		return -ENOEXEC;
	}
	return klp_enable_patch(&patch);
}
module_init(livepatch_init);

/* Livepatch lets it go once the patch is disabled and no task runs it. */
static void __exit livepatch_exit(void)
{
}
module_exit(livepatch_exit);

MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("KVM's coalesced MMIO and PIO in Rust, as a live patch");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
