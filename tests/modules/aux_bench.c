// SPDX-License-Identifier: GPL-2.0
/*
 * Counts what attaching a domain to a PASID costs: by the core's own function, or in auxiliary
 * mode.
 *
 * Binds to siov-testdev, measures, and leaves the figures in /sys/kernel/debug/aux_bench. The
 * device does no DMA meanwhile.
 */
#include <linux/iommu.h>
#include <linux/iommu-aux.h>
#include <linux/slab.h>

#include "bench.h"

/* Enough to see a table of 64 PASIDs as a share of each of them. */
#define MANY 512

static bool aux;
module_param(aux, bool, 0400);
MODULE_PARM_DESC(aux, "in auxiliary mode, not by the core's own function");

static int attach(struct iommu_domain *domain, struct device *dev, u32 pasid)
{
	if (aux)
		return iommu_aux_attach_device(domain, dev);
	return iommu_attach_device_pasid(domain, dev, pasid, NULL);
}

static void detach(struct iommu_domain *domain, struct device *dev, u32 pasid)
{
	if (aux)
		iommu_aux_detach_device(domain, dev);
	else
		iommu_detach_device_pasid(domain, dev, pasid);
}

/* A new domain each time, as its users attach one. */
static int measure_attach(struct device *dev, u32 pasid, const char *const names[4])
{
	struct cost on = { .insn = U64_MAX }, off = { .insn = U64_MAX };
	struct iommu_domain *domain;
	unsigned int i;
	int err = 0;

	for (i = 0; i < ROUNDS; i++) {
		domain = iommu_paging_domain_alloc(dev);
		if (IS_ERR(domain))
			return PTR_ERR(domain);
		MEASURE(&on, err = attach(domain, dev, pasid));
		if (!err)
			MEASURE(&off, detach(domain, dev, pasid));
		iommu_domain_free(domain);
		if (err)
			return err;
	}
	figure(names[0], "insn", on.insn * 100);
	figure(names[1], "insn", off.insn * 100);
	figure(names[2], "desc", on.descriptors * 100);
	figure(names[3], "desc", off.descriptors * 100);
	return 0;
}

/* With many domains attached, and the memory that they take. */
static int measure_many(struct device *dev, struct iommu_domain **domains)
{
	static const char *const names[] = {
		"attach, 512 attached", "detach, 512 attached",
		"invalidation descriptors, attach, 512 attached",
		"invalidation descriptors, detach, 512 attached",
	};
	unsigned int attached = 0, i;
	long before = table_pages();
	int err = 0;

	while (attached < MANY && !err) {
		err = attach(domains[attached], dev, attached + 1);
		attached += !err;
	}
	if (!err) {
		figure("table memory per PASID", "bytes",
		       (u64)(table_pages() - before) * PAGE_SIZE * 100 / MANY);
		err = measure_attach(dev, MANY + 1, names);
	}
	for (i = 0; i < attached; i++)
		detach(domains[i], dev, i + 1);
	return err;
}

static int measure_enabled(struct device *dev)
{
	static const char *const names[] = {
		"attach", "detach", "invalidation descriptors, attach",
		"invalidation descriptors, detach",
	};
	struct iommu_domain **domains;
	unsigned int made = 0, i;
	int err;

	err = measure_attach(dev, 1, names);
	if (err)
		return err;
	domains = kvcalloc(MANY, sizeof(*domains), GFP_KERNEL);
	if (!domains)
		return -ENOMEM;
	while (made < MANY && !err) {
		domains[made] = iommu_paging_domain_alloc(dev);
		err = PTR_ERR_OR_ZERO(domains[made]);
		made += !err;
	}
	if (!err)
		err = measure_many(dev, domains);
	for (i = 0; i < made; i++)
		iommu_domain_free(domains[i]);
	kvfree(domains);
	return err;
}

static int measure(struct device *dev)
{
	int err = iommu_enable_aux_domain(dev);

	if (err)
		return err;
	err = measure_enabled(dev);
	iommu_disable_aux_domain(dev);
	return err;
}

BENCH_DRIVER(0x510f);
MODULE_DESCRIPTION("Costs of PASID attachments, for a guest under -icount");
