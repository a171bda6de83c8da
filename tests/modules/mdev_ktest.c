// SPDX-License-Identifier: GPL-2.0
/*
 * A parent of mediated devices whose only purpose is to set domain types, at the right and at wrong
 * times. Its devices do nothing. Writing the UUID of one to a parameter runs a test, whose result
 * is that of the write.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/mdev.h>
#include <linux/module.h>

static struct device *parent_dev;
static struct mdev_parent parent;

static struct mdev_type plain = { .sysfs_name = "plain" };
static struct mdev_type attach = { .sysfs_name = "attach", .pretty_name = "attached to the parent" };
static struct mdev_type back = { .sysfs_name = "back" };
static struct mdev_type unknown = { .sysfs_name = "unknown" };
static struct mdev_type grouped = { .sysfs_name = "grouped" };
static struct mdev_type *types[] = { &plain, &attach, &back, &unknown, &grouped };

static int set_grouped(struct device *dev)
{
	struct iommu_group *group = iommu_group_alloc();
	int ret;

	if (IS_ERR(group))
		return PTR_ERR(group);
	ret = iommu_group_add_device(group, dev);
	iommu_group_put(group);
	if (ret)
		return ret;
	ret = mdev_set_domain_type(dev, DOMAIN_TYPE_ATTACH_PARENT);
	iommu_group_remove_device(dev);
	return ret;
}

static int ktest_probe(struct mdev_device *mdev)
{
	struct device *dev = mdev_dev(mdev);
	int ret;

	if (mdev->type == &attach)
		return mdev_set_domain_type(dev, DOMAIN_TYPE_ATTACH_PARENT);
	if (mdev->type == &back) {
		ret = mdev_set_domain_type(dev, DOMAIN_TYPE_ATTACH_PARENT);
		return ret ?: mdev_set_domain_type(dev, DOMAIN_TYPE_NO_IOMMU);
	}
	if (mdev->type == &unknown)
		return mdev_set_domain_type(dev, DOMAIN_TYPE_ATTACH_PARENT + 1);
	if (mdev->type == &grouped)
		return set_grouped(dev);
	return 0;
}

static unsigned int ktest_get_available(struct mdev_type *type)
{
	return 1000;
}

static struct mdev_driver ktest_driver = {
	.device_api = "none",
	.probe = ktest_probe,
	.get_available = ktest_get_available,
	.driver = {
		.name = "mdev_ktest",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

static int expect(bool ok, const char *what)
{
	if (ok)
		return 0;
	pr_info("not so: %s\n", what);
	return -EIO;
}

#define EXPECT(condition) expect(condition, #condition)

static int test_late(struct device *dev)
{
	return mdev_set_domain_type(dev, DOMAIN_TYPE_ATTACH_PARENT);
}

static int test_stranger(struct device *dev)
{
	struct iommu_domain *domain = (void *)dev;

	/* The parent is no mediated device, and neither is nothing at all. */
	mdev_set_iommu_domain(parent_dev, domain);
	mdev_set_iommu_domain(NULL, domain);
	return EXPECT(mdev_set_domain_type(parent_dev, DOMAIN_TYPE_ATTACH_PARENT) == -ENODEV) ?:
	       EXPECT(mdev_set_domain_type(NULL, DOMAIN_TYPE_ATTACH_PARENT) == -ENODEV) ?:
	       EXPECT(mdev_get_domain_type(parent_dev) == DOMAIN_TYPE_NO_IOMMU) ?:
	       EXPECT(mdev_get_domain_type(NULL) == DOMAIN_TYPE_NO_IOMMU) ?:
	       EXPECT(!mdev_get_iommu_domain(parent_dev)) ?:
	       EXPECT(!mdev_get_iommu_domain(NULL)) ?:
	       EXPECT(!mdev_parent_device(parent_dev)) ?:
	       EXPECT(!mdev_parent_device(NULL)) ?:
	       EXPECT(mdev_parent_device(dev) == parent_dev) ?:
	       EXPECT(mdev_get_domain_type(dev) == DOMAIN_TYPE_NO_IOMMU);
}

static int test_domain(struct device *dev)
{
	struct iommu_domain *domain = (void *)dev;
	int ret = EXPECT(mdev_get_domain_type(dev) == DOMAIN_TYPE_ATTACH_PARENT) ?:
		  EXPECT(!mdev_get_iommu_domain(dev));

	mdev_set_iommu_domain(dev, domain);
	ret = ret ?: EXPECT(mdev_get_iommu_domain(dev) == domain);
	mdev_set_iommu_domain(dev, NULL);
	return ret ?: EXPECT(!mdev_get_iommu_domain(dev));
}

static int run(const char *uuid, const struct kernel_param *kp)
{
	int (*test)(struct device *dev) = kp->arg;
	struct device *dev;
	int ret;

	if (!parent_dev)
		return -ENODEV;
	dev = device_find_child_by_name(parent_dev, uuid);
	if (!dev)
		return -ENODEV;
	ret = test(dev);
	put_device(dev);
	return ret;
}

static const struct kernel_param_ops run_ops = { .set = run };
module_param_cb(late, &run_ops, test_late, 0200);
module_param_cb(stranger, &run_ops, test_stranger, 0200);
module_param_cb(domain, &run_ops, test_domain, 0200);

static int __init ktest_init(void)
{
	int ret = mdev_register_driver(&ktest_driver);

	if (ret)
		return ret;
	parent_dev = root_device_register("mdev_ktest");
	if (IS_ERR(parent_dev)) {
		ret = PTR_ERR(parent_dev);
		goto err_driver;
	}
	ret = mdev_register_parent(&parent, parent_dev, &ktest_driver, types, ARRAY_SIZE(types));
	if (ret)
		goto err_device;
	return 0;

err_device:
	root_device_unregister(parent_dev);
err_driver:
	mdev_unregister_driver(&ktest_driver);
	return ret;
}

static void __exit ktest_exit(void)
{
	mdev_unregister_parent(&parent);
	root_device_unregister(parent_dev);
	mdev_unregister_driver(&ktest_driver);
}

module_init(ktest_init);
module_exit(ktest_exit);
MODULE_DESCRIPTION("Sets domain types of mediated devices, for tests");
MODULE_LICENSE("GPL");
