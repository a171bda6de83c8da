# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The kernel tree that modules are built against: the source of the shipped kernel with its
# configuration, prepared, because Debian's header packages hold no Rust metadata.

tree_key() { hash_of "$(root_build_packages)" "$KREL" "$LOCALVERSION" "$CC" "$(hash_recipe tree_make tree_check_crates)"; }

# localversion-debian gives the release string of the shipped kernel, which vermagic compares. An
# environment variable LOCALVERSION would be appended to it.
tree_make() {
	in_root -C "$1" -e KERNEL="$KERNEL" -e KREL="$KREL" -e SUFFIX="$LOCALVERSION" -e CC="$CC" bash -euxc '
		tar --strip-components=1 -xf "/usr/src/linux-source-$KERNEL.tar.xz"
		xzcat "/usr/src/linux-config-$KERNEL/config.amd64_none_amd64.xz" >.config
		printf %s "$SUFFIX" >localversion-debian
		make -j"$(nproc)" CC="$CC" HOSTCC="$CC" olddefconfig
		make -j"$(nproc)" CC="$CC" HOSTCC="$CC" modules_prepare
		cp "/usr/src/linux-headers-$KREL/Module.symvers" .
		grep -xF "#define UTS_RELEASE \"$KREL\"" include/generated/utsrelease.h
	'
	tree_check_crates "$1"
}

# A module of another crate hash would fail at load time with unknown symbols; say it here.
tree_check_crates() {
	local ours shipped
	ours=$(in_root -C "$1" sh -c 'nm rust/kernel.o | grep -o "Cs[A-Za-z0-9]*_6kernel" | sort -u')
	shipped=$(grep -o 'Cs[A-Za-z0-9]*_6kernel' "$1/Module.symvers" | sort -u)
	[ -n "$ours" ] && [ "$ours" = "$shipped" ] && return
	echo "The kernel crate of the prepared tree (${ours:-none}) is not that of the shipped kernel (${shipped:-none})."
	echo "rustc and the kernel packages of scripts/versions do not belong together."
	exit "$E_VERSION"
}

# Sets TREE, MODDIR (the directory modules/RELEASE), VMLINUZ and TOOLS (make's words for the
# compilers).
tree_ensure() {
	cache_ensure tree "$(tree_key)" 5 "kernel tree $KREL, crate hashes equal" tree_make
	TREE=$ENTRY
	MODDIR=/usr/lib/modules/$KREL
	VMLINUZ=$MODDIR/vmlinuz.unsigned
	TOOLS=(CC="$CC" HOSTCC="$CC")
}
