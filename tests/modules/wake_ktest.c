// SPDX-License-Identifier: GPL-2.0
/*
 * When a machine wakes from S3, its firmware restores where the extended configuration space and
 * the ACPI registers lie. SeaBIOS does not for QEMU's q35; this does, if it is loaded before those
 * who need them.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/syscore_ops.h>

static struct {
	u8 devfn;
	u8 reg;
	u32 value;
} saved[] = {
	/* PCIEXBAR of the memory controller hub, the low half last. */
	{ PCI_DEVFN(0, 0), 0x64 },
	{ PCI_DEVFN(0, 0), 0x60 },
	/* PMBASE and ACPI_CNTL of the LPC bridge. */
	{ PCI_DEVFN(31, 0), 0x40 },
	{ PCI_DEVFN(31, 0), 0x44 },
};

static struct pci_bus *bus;

static int wake_suspend(void *data)
{
	for (int i = 0; i < ARRAY_SIZE(saved); i++)
		pci_bus_read_config_dword(bus, saved[i].devfn, saved[i].reg, &saved[i].value);
	return 0;
}

static void wake_resume(void *data)
{
	for (int i = 0; i < ARRAY_SIZE(saved); i++)
		pci_bus_write_config_dword(bus, saved[i].devfn, saved[i].reg, saved[i].value);
}

static const struct syscore_ops wake_ops = {
	.suspend = wake_suspend,
	.resume = wake_resume,
};

static struct syscore wake = {
	.ops = &wake_ops,
};

static int __init wake_init(void)
{
	bus = pci_find_bus(0, 0);
	if (!bus)
		return -ENODEV;
	register_syscore(&wake);
	return 0;
}

static void __exit wake_exit(void)
{
	unregister_syscore(&wake);
}

module_init(wake_init);
module_exit(wake_exit);
MODULE_DESCRIPTION("What SeaBIOS leaves out when QEMU's q35 wakes");
MODULE_LICENSE("GPL");
