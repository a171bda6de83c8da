// SPDX-License-Identifier: GPL-2.0

/*
 * What modinfo and /sys/module/NAME/version say of a module of ours, and of no stock one. The macro
 * module! has no field for it.
 */

#include <linux/module.h>

#include "version_generated.h"

MODULE_VERSION(SIOV_VERSION);
MODULE_INFO(commit, SIOV_COMMIT);
