// SPDX-License-Identifier: GPL-2.0
/*
 * Devices of vfio_ktest as mediated devices whose DMA carries a PASID of their parent, a PCI
 * function that somebody has enabled auxiliary domains for: they could write to anything that is
 * mapped, and their driver pins what it is told to pin.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/vfio.h>

#include "vfio_ktest.h"

static char *address;
module_param_named(parent, address, charp, 0);
MODULE_PARM_DESC(parent, "address of the PCI function, as in sysfs");

static struct device *parent_dev;
static struct mdev_parent parent;

static struct mdev_type type = { .sysfs_name = "attach", .pretty_name = "attached and pinning" };
static struct mdev_type *types[] = { &type };

static int ktest_probe(struct mdev_device *mdev)
{
	struct device *dev = mdev_dev(mdev);
	struct vfio_device *vdev;
	int ret;

	ret = mdev_set_domain_type(dev, DOMAIN_TYPE_ATTACH_PARENT);
	if (ret)
		return ret;
	vdev = vfio_ktest_alloc(dev);
	if (IS_ERR(vdev))
		return PTR_ERR(vdev);
	ret = vfio_register_emulated_iommu_dev(vdev);
	if (ret) {
		vfio_put_device(vdev);
		return ret;
	}
	dev_set_drvdata(dev, vdev);
	return 0;
}

static void ktest_remove(struct mdev_device *mdev)
{
	struct vfio_device *vdev = dev_get_drvdata(mdev_dev(mdev));

	vfio_unregister_group_dev(vdev);
	vfio_put_device(vdev);
}

static unsigned int ktest_get_available(struct mdev_type *type)
{
	return 8;
}

static struct mdev_driver driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.probe = ktest_probe,
	.remove = ktest_remove,
	.get_available = ktest_get_available,
	.driver = {
		.name = "vfio_ktest_mdev",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

static int __init vfio_ktest_mdev_init(void)
{
	int ret;

	if (!address)
		return -EINVAL;
	parent_dev = bus_find_device_by_name(&pci_bus_type, NULL, address);
	if (!parent_dev)
		return -ENODEV;
	ret = mdev_register_driver(&driver);
	if (ret)
		goto out_put;
	ret = mdev_register_parent(&parent, parent_dev, &driver, types, ARRAY_SIZE(types));
	if (ret)
		goto out_unregister;
	return 0;
out_unregister:
	mdev_unregister_driver(&driver);
out_put:
	put_device(parent_dev);
	return ret;
}
module_init(vfio_ktest_mdev_init);

static void __exit vfio_ktest_mdev_exit(void)
{
	mdev_unregister_parent(&parent);
	mdev_unregister_driver(&driver);
	put_device(parent_dev);
}
module_exit(vfio_ktest_mdev_exit);

MODULE_AUTHOR("siov-rs developers");
MODULE_DESCRIPTION("Devices of vfio_ktest that attach to a parent, for tests");
MODULE_LICENSE("GPL");
