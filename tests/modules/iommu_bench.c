// SPDX-License-Identifier: GPL-2.0
/*
 * Counts what operations of the IOMMU API cost, for whatever driver the device's IOMMU has.
 *
 * Meant for a guest with one processor under -icount shift=0, where ktime_get_ns() counts
 * instructions. Binds to QEMU's edu device, measures, and leaves the figures in
 * /sys/kernel/debug/iommu_bench, one "# bench VALUE UNIT NAME" line each. The device does no DMA, so
 * physical addresses need not exist.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/vmstat.h>

/* Each figure is the least of this many, the cheapest way through the code. */
#define ROUNDS 32

/* Invalidation queue tail, and bytes of its ring: both drivers have 256 descriptors of 32 bytes. */
#define DMAR_IQT 0x88
#define RING_BYTES 8192
#define DESCRIPTOR_BYTES 32

static unsigned long registers = 0xfed90000;
module_param(registers, ulong, 0400);
MODULE_PARM_DESC(registers, "physical address of the unit's registers");

static struct {
	const char *name;
	const char *unit;
	u64 value;	/* in hundredths */
} figures[64];
static unsigned int count;

static struct dentry *file;
static void __iomem *unit;

static void figure(const char *name, const char *unit_name, u64 hundredths)
{
	if (WARN_ON(count == ARRAY_SIZE(figures)))
		return;
	figures[count].name = name;
	figures[count].unit = unit_name;
	figures[count].value = hundredths;
	count++;
}

static int results_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		seq_printf(m, "# bench %llu.%02llu %s %s\n", figures[i].value / 100,
			   figures[i].value % 100, figures[i].unit, figures[i].name);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(results);

static u32 tail(void)
{
	return readl(unit + DMAR_IQT);
}

static u32 descriptors(u32 from, u32 to)
{
	return ((to - from) & (RING_BYTES - 1)) / DESCRIPTOR_BYTES;
}

struct cost {
	u64 insn;
	u32 descriptors;
};

#define MEASURE(cost, statement)						\
	do {									\
		u32 __tail = tail();						\
		u64 __start = ktime_get_ns();					\
		statement;							\
		u64 __insn = ktime_get_ns() - __start;				\
		if (__insn < (cost)->insn) {					\
			(cost)->insn = __insn;					\
			(cost)->descriptors = descriptors(__tail, tail());	\
		}								\
	} while (0)

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

/* Pages of tables in use, once the counts of the processors have been folded together. */
static long table_pages(void)
{
	msleep(3000);
	return global_node_page_state(NR_IOMMU_PAGES);
}

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
	/* Whatever boot left to be done is done by now. */
	msleep(2000);
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

static int probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int err;

	unit = ioremap(registers, SZ_4K);
	if (!unit)
		return -ENOMEM;
	err = measure(&pdev->dev);
	iounmap(unit);
	if (err) {
		pci_err(pdev, "measuring failed: %d\n", err);
		return err;
	}
	file = debugfs_create_file("iommu_bench", 0400, NULL, NULL, &results_fops);
	return 0;
}

static void remove(struct pci_dev *pdev)
{
	debugfs_remove(file);
}

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver bench_driver = {
	.name = "iommu_bench",
	.id_table = ids,
	.probe = probe,
	.remove = remove,
};
module_pci_driver(bench_driver);

MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("Costs of IOMMU operations, for a guest under -icount");
MODULE_LICENSE("GPL");
