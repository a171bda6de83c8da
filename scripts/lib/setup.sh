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
	kvm_ensure
}

# What setup_ensure and build_enter find out, for scripts/lib/step to have it again.
SETUP_VARIABLES=(CACHE KERNEL DEBUG ROOT TREE KREL MODDIR VMLINUZ VENDOR KVM_BASE BUILD)

setup_export() {
	local name
	for name in "${SETUP_VARIABLES[@]}"; do export "SIOV_$name=${!name}"; done
	export SIOV_SRC=$SRC SIOV_CC=$CC SIOV_TOOLS="${TOOLS[*]}" SIOV_KERNELS="${KERNELS[*]}"
}

setup_import() {
	local name from
	[ -n "${SIOV_BUILD:-}" ] || die "$E_FAIL" "nothing is set up" "this is for the program of tools/harness to call"
	load_versions
	for name in "${SETUP_VARIABLES[@]}"; do
		from=SIOV_$name
		printf -v "$name" %s "${!from}"
	done
	read -ra TOOLS <<<"$SIOV_TOOLS"
	BUILD_LOCK=$CACHE/locks/${BUILD##*/}
	host_namespace
}

# Removes what no kernel of the matrix needs with the current checkout.
setup_prune() {
	local keep=() kernel variant target
	host_check
	cache_init
	for kernel in $(KERNEL=7.3 && load_versions && echo "${KERNELS[@]}"); do
		KERNEL=$kernel
		load_versions
		ROOT=$CACHE/root-$(root_key)/fs
		[ -d "$ROOT" ] || continue
		keep+=("root-$(root_key)" "tree-$(tree_key)" "kvm-$(kvm_key "$(tree_key)")")
		for variant in "${DEBUG_VARIANTS[@]}"; do
			keep+=("debug-kernel-$(debug_kernel_key "$variant")" "kvm-$(kvm_key "$(debug_kernel_key "$variant")")")
		done
		for target in "${MICRO_BENCH_TARGETS[@]}"; do keep+=("core-$(micro_bench_core_key "$target")"); done
	done
	keep+=("vendor-$(crates_key)")
	cache_prune "${keep[@]}"
}
