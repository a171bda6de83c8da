/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks share: counting instructions and invalidation descriptors, and showing the
 * figures.
 *
 * Meant for a guest with one processor under -icount shift=0, where ktime_get_ns() counts
 * instructions. Figures are one "# bench VALUE UNIT NAME" line each in a file of debugfs.
 */
#ifndef SIOV_BENCH_H
#define SIOV_BENCH_H

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
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

/* Pages of tables in use, once the counts of the processors have been folded together. */
static inline long table_pages(void)
{
	msleep(3000);
	return global_node_page_state(NR_IOMMU_PAGES);
}

/* What a module measures on the device that it is bound to. */
static int measure(struct device *dev);

static int probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int err;

	unit = ioremap(registers, SZ_4K);
	if (!unit)
		return -ENOMEM;
	/* Whatever boot left to be done is done by then. */
	msleep(2000);
	err = measure(&pdev->dev);
	iounmap(unit);
	if (err) {
		pci_err(pdev, "measuring failed: %d\n", err);
		return err;
	}
	file = debugfs_create_file(KBUILD_MODNAME, 0400, NULL, NULL, &results_fops);
	return 0;
}

static void remove(struct pci_dev *pdev)
{
	debugfs_remove(file);
}

#define BENCH_DRIVER(device_id)							\
	static const struct pci_device_id ids[] = {				\
		{ PCI_DEVICE(0x1234, device_id) },				\
		{ }								\
	};									\
	MODULE_DEVICE_TABLE(pci, ids);						\
	static struct pci_driver bench_driver = {				\
		.name = KBUILD_MODNAME,						\
		.id_table = ids,						\
		.probe = probe,							\
		.remove = remove,						\
	};									\
	module_pci_driver(bench_driver);					\
	MODULE_AUTHOR("siov-rs developers");					\
	MODULE_LICENSE("GPL")

#endif
