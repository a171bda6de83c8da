// SPDX-License-Identifier: GPL-2.0
/*
 * Counts what operations of the IOMMU API cost, for whatever driver the device's IOMMU has.
 *
 * Binds to QEMU's edu device, measures, and leaves the figures in /sys/kernel/debug/iommu_bench.
 * The device does no DMA, so physical addresses need not exist.
 */
#include <linux/iommu.h>
#include <linux/sizes.h>

#include "bench.h"

struct shape {
	const char *map, *unmap, *map_desc, *unmap_desc;
	unsigned long iova;
	phys_addr_t phys;
	size_t size;
	unsigned int rounds;
	unsigned int per;	/* figures are divided by this */
};

static int measure_map(struct iommu_domain *domain, const struct shape *s)
{
	struct cost map = { .insn = U64_MAX }, unmap = { .insn = U64_MAX };
	unsigned int i;
	size_t done = 0;
	int err = 0;

	for (i = 0; i < s->rounds && !err; i++) {
		MEASURE(&map, err = iommu_map(domain, s->iova, s->phys, s->size,
					      IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL));
		if (err)
			break;
		if (iommu_iova_to_phys(domain, s->iova + s->size - 1) != s->phys + s->size - 1)
			return -EIO;
		MEASURE(&unmap, done = iommu_unmap(domain, s->iova, s->size));
		if (done != s->size || iommu_iova_to_phys(domain, s->iova))
			return -EIO;
	}
	if (err)
		return err;
	figure(s->map, "insn", map.insn * 100 / s->per);
	figure(s->unmap, "insn", unmap.insn * 100 / s->per);
	figure(s->map_desc, "desc", map.descriptors * 100);
	figure(s->unmap_desc, "desc", unmap.descriptors * 100);
	return 0;
}

#define SHAPE(text, ...)								\
	{ .map = "map " text, .unmap = "unmap " text,					\
	  .map_desc = "invalidation descriptors, map " text,				\
	  .unmap_desc = "invalidation descriptors, unmap " text, __VA_ARGS__ }

static const struct shape shapes[] = {
	SHAPE("4 KiB", .iova = SZ_1G, .phys = SZ_1M, .size = SZ_4K, .rounds = ROUNDS, .per = 1),
	SHAPE("64 KiB as 16 pages", .iova = SZ_1G, .phys = SZ_1M, .size = SZ_64K,
	      .rounds = ROUNDS, .per = 1),
	SHAPE("2 MiB page", .iova = SZ_1G, .phys = SZ_2M, .size = SZ_2M, .rounds = ROUNDS, .per = 1),
	SHAPE("1 GiB page", .iova = 4ULL * SZ_1G, .phys = SZ_1G, .size = SZ_1G,
	      .rounds = ROUNDS, .per = 1),
	/* Out of step by a page, so that no larger leaf fits. */
	SHAPE("256 MiB as 4 KiB leaves, per page", .iova = 8ULL * SZ_1G, .phys = SZ_1G + SZ_4K,
	      .size = SZ_256M, .rounds = 4, .per = SZ_256M / SZ_4K),
	SHAPE("1 GiB as 4 KiB leaves, per page", .iova = 16ULL * SZ_1G, .phys = SZ_1G + SZ_4K,
	      .size = SZ_1G, .rounds = 3, .per = SZ_1G / SZ_4K),
};

static int measure_memory(struct iommu_domain *domain, const char *name, unsigned long iova,
			  phys_addr_t phys)
{
	long before = table_pages();
	int err = iommu_map(domain, iova, phys, SZ_1G, IOMMU_READ | IOMMU_WRITE, GFP_KERNEL);

	if (err)
		return err;
	figure(name, "bytes", (u64)(table_pages() - before) * PAGE_SIZE * 100);
	return iommu_unmap(domain, iova, SZ_1G) == SZ_1G ? 0 : -EIO;
}

/* A new domain each time, as its users attach one. */
static int measure_attach(struct device *dev)
{
	struct cost attach = { .insn = U64_MAX }, detach = { .insn = U64_MAX };
	struct iommu_domain *domain;
	unsigned int i;
	int err = 0;

	for (i = 0; i < ROUNDS; i++) {
		domain = iommu_paging_domain_alloc(dev);
		if (IS_ERR(domain))
			return PTR_ERR(domain);
		MEASURE(&attach, err = iommu_attach_device(domain, dev));
		if (!err)
			MEASURE(&detach, iommu_detach_device(domain, dev));
		iommu_domain_free(domain);
		if (err)
			return err;
	}
	figure("attach", "insn", attach.insn * 100);
	figure("detach", "insn", detach.insn * 100);
	figure("invalidation descriptors, attach", "desc", attach.descriptors * 100);
	figure("invalidation descriptors, detach", "desc", detach.descriptors * 100);
	return 0;
}

static int measure(struct device *dev)
{
	struct iommu_domain *domain = iommu_paging_domain_alloc(dev);
	unsigned int i;
	int err;

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	err = measure_attach(dev);
	if (err)
		goto out_free;
	err = iommu_attach_device(domain, dev);
	if (err)
		goto out_free;
	for (i = 0; i < ARRAY_SIZE(shapes) && !err; i++)
		err = measure_map(domain, &shapes[i]);
	if (!err)
		err = measure_memory(domain, "table memory per GiB of 4 KiB leaves", 32UL * SZ_1G,
				     SZ_1G + SZ_4K);
	if (!err)
		err = measure_memory(domain, "table memory per GiB of 2 MiB leaves", 48UL * SZ_1G,
				     SZ_1G + SZ_2M);
	iommu_detach_device(domain, dev);
out_free:
	iommu_domain_free(domain);
	return err;
}

BENCH_DRIVER(0x11e8);
MODULE_DESCRIPTION("Costs of IOMMU operations, for a guest under -icount");
