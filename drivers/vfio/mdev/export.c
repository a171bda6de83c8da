// SPDX-License-Identifier: GPL-2.0
/* The symbols of mdev.ko, which are functions in Rust. Licences are those of the C module. */
#include <linux/export.h>
#include <linux/mdev.h>
#include <linux/module.h>

EXPORT_SYMBOL(mdev_register_parent);
EXPORT_SYMBOL(mdev_unregister_parent);
EXPORT_SYMBOL(mdev_register_driver);
EXPORT_SYMBOL(mdev_unregister_driver);

EXPORT_SYMBOL_GPL(mdev_set_domain_type);
EXPORT_SYMBOL_GPL(mdev_get_domain_type);
EXPORT_SYMBOL_GPL(mdev_parent_device);
EXPORT_SYMBOL_GPL(mdev_set_iommu_domain);
EXPORT_SYMBOL_GPL(mdev_get_iommu_domain);

