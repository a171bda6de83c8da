# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# All that a build or a guest needs, made where it is missing.

setup_ensure() {
	load_versions
	host_check
	cache_init
	root_ensure
	if [ -n "$DEBUG" ]; then debug_kernel_ensure; else tree_ensure; fi
	crates_ensure
}
