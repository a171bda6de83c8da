# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The debug kernels: the shipped kernel's source with scripts/debug.config and
# scripts/debug-VARIANT.config. Built with clang, because Kconfig allows KASAN together with Rust
# with no other compiler, and gcc has no kCFI.

DEBUG_VARIANTS=(kasan cfi kcsan)

debug_kernel_check_variant() {
	[[ " ${DEBUG_VARIANTS[*]} " = *" $DEBUG "* ]] || usage_error "debug kernel '$DEBUG' is not one of: ${DEBUG_VARIANTS[*]}"
}

# The key of the variant $1.
debug_kernel_key() {
	hash_of "$(root_build_packages)" "$KERNEL" "$1" "$(debug_kernel_lines "$1" | sha256sum)" \
		"$(debug_kernel_patch "$1" | sha256sum)" "$(hash_recipe debug_kernel_make)"
}

# The configuration of the variant $1, without comments.
debug_kernel_lines() {
	grep -hE '^(# )?CONFIG_' "$SRC/scripts/debug.config" "$SRC/scripts/debug-$1.config"
}

# What the variant $1 changes in the source: nothing, for most.
debug_kernel_patch() {
	if [ -e "$SRC/scripts/debug-$1.patch" ]; then cat "$SRC/scripts/debug-$1.patch"; fi
}

# Objects of the build are of no use afterwards, except those that modules are linked with or
# checked by.
debug_kernel_make() {
	mkdir "$1/tree" "$1/install"
	debug_kernel_lines "$DEBUG" >"$1/fragment"
	debug_kernel_patch "$DEBUG" >"$1/patch"
	in_root -C "$1/tree" -e KERNEL="$KERNEL" bash -euxc '
		tar --strip-components=1 -xf "/usr/src/linux-source-$KERNEL.tar.xz"
		if [ -s ../patch ]; then patch -p1 <../patch; fi
		make LLVM=1 x86_64_defconfig
		scripts/kconfig/merge_config.sh -m .config ../fragment
		make LLVM=1 olddefconfig
		lost=$(while read -r line; do
			if [ "${line#\#}" != "$line" ]; then
				name=${line#\# }; grep -q "^${name% is not set}=" .config && echo "$line" || true
			else
				grep -qxF "$line" .config || echo "$line"
			fi
		done <../fragment)
		[ -z "$lost" ] || { echo "olddefconfig dropped:"; echo "$lost"; exit 1; }
		make LLVM=1 -j"$(nproc)" bzImage modules
		make LLVM=1 -s kernelrelease >../release
		make LLVM=1 INSTALL_MOD_PATH=../install INSTALL_MOD_STRIP=1 modules_install
		rm -f ../install/lib/modules/*/build ../install/lib/modules/*/source vmlinux vmlinux.unstripped vmlinux.o
		find . -path ./scripts -prune -o -path ./tools -prune -o -path ./rust -prune -o \
			-type f \( -name "*.o" -o -name "*.a" -o -name "*.ko" -o -name ".*.cmd" \) -print0 | xargs -0 rm -f
	'
}

# Sets TREE, KREL, MODDIR and VMLINUZ.
debug_kernel_ensure() {
	cache_ensure debug-kernel "$(debug_kernel_key "$DEBUG")" 25 "debug kernel ($DEBUG) from linux-source-$KERNEL" debug_kernel_make
	TREE=$ENTRY/tree
	KREL=$(cat "$ENTRY/release")
	MODDIR=$ENTRY/install/lib/modules/$KREL
	VMLINUZ=$TREE/arch/x86/boot/bzImage
	TOOLS=(LLVM=1)
}
