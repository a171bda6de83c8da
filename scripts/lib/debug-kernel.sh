# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The debug kernel: the shipped kernel's source with scripts/debug.config. Built with clang, because Kconfig
# allows KASAN together with Rust with no other compiler.

debug_kernel_key() {
	hash_of "$(root_build_packages)" "$KERNEL" "$(grep -E '^(# )?CONFIG_' "$SRC/scripts/debug.config" | sha256sum)" \
		"$(hash_recipe debug_kernel_make)"
}

# Objects of the build are of no use afterwards, except those that modules are linked with or checked by.
debug_kernel_make() {
	mkdir "$1/tree" "$1/install"
	in_root -C "$1/tree" -e KERNEL="$KERNEL" -e FRAGMENT="$SRC/scripts/debug.config" bash -euxc '
		tar --strip-components=1 -xf "/usr/src/linux-source-$KERNEL.tar.xz"
		make LLVM=1 x86_64_defconfig
		scripts/kconfig/merge_config.sh -m .config "$FRAGMENT"
		make LLVM=1 olddefconfig
		lost=$(grep -E "^(CONFIG_|# CONFIG_.* is not set)" "$FRAGMENT" | while read -r line; do
			if [ "${line#\#}" != "$line" ]; then
				name=${line#\# }; grep -q "^${name% is not set}=" .config && echo "$line" || true
			else
				grep -qxF "$line" .config || echo "$line"
			fi
		done)
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
	cache_ensure debug-kernel "$(debug_kernel_key)" 25 "debug kernel from linux-source-$KERNEL" debug_kernel_make
	TREE=$ENTRY/tree
	KREL=$(cat "$ENTRY/release")
	MODDIR=$ENTRY/install/lib/modules/$KREL
	VMLINUZ=$TREE/arch/x86/boot/bzImage
	TOOLS=(LLVM=1)
}
