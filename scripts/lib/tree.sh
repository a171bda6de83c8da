# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The kernel tree that modules are built against: the source of the shipped kernel with its
# configuration, prepared, because Debian's header packages hold no Rust metadata.

tree_key() { hash_of "$(root_build_packages)" "$KREL" "$LOCALVERSION" "$CC" "$(hash_recipe tree_make)"; }

# vmlinux is the BTF of the shipped kernel, from which that of modules starts. localversion-debian
# gives the release string of the shipped kernel, which vermagic compares. An environment variable
# LOCALVERSION would be appended to it.
tree_make() {
	in_root -C "$1" -e KERNEL="$KERNEL" -e KREL="$KREL" -e SUFFIX="$LOCALVERSION" -e CC="$CC" bash -euxc '
		tar --strip-components=1 -xf "/usr/src/linux-source-$KERNEL.tar.xz"
		xzcat "/usr/src/linux-config-$KERNEL/config.amd64_none_amd64.xz" >.config
		printf %s "$SUFFIX" >localversion-debian
		make -j"$(nproc)" CC="$CC" HOSTCC="$CC" olddefconfig
		make -j"$(nproc)" CC="$CC" HOSTCC="$CC" modules_prepare
		cp "/usr/src/linux-headers-$KREL/Module.symvers" "/usr/src/linux-headers-$KREL/vmlinux" .
		grep -xF "#define UTS_RELEASE \"$KREL\"" include/generated/utsrelease.h
	'
	tree_check "$1"
}

# Sets TREE, MODDIR (the directory modules/RELEASE), VMLINUZ and TOOLS (make's words for the
# compilers).
tree_ensure() {
	cache_ensure tree "$(tree_key)" 5 "kernel tree $KREL, configured as shipped" tree_make
	TREE=$ENTRY
	MODDIR=/usr/lib/modules/$KREL
	VMLINUZ=$MODDIR/vmlinuz.unsigned
	TOOLS=(CC="$CC" HOSTCC="$CC")
}
