// SPDX-License-Identifier: GPL-2.0
/*
 * Linked into the kernel's own vfio selftests: those that do not go through all modes use iommufd,
 * which the shipped kernel does not have (CONFIG_IOMMUFD is not set).
 */
extern const char *default_iommu_mode;

static void __attribute__((constructor)) use_type1(void)
{
	default_iommu_mode = "vfio_type1v2_iommu";
}
