# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Whether the prepared tree is that of the shipped kernel. A module of another would be loaded all
# the same and go wrong later: Debian's kernels have no MODVERSIONS, and the crate hashes of Rust
# say only which rustc was used.

# tree_check DIR
tree_check() {
	local headers=$ROOT/usr/src/linux-headers-$KREL file
	tree_check_packages "${ROOT%/fs}/packages"
	for file in .config include/generated/rustc_cfg; do tree_check_config "$1/$file" "$headers/$file"; done
	tree_check_crates "$1"
}

# tree_check_packages LIST: the kernel, its headers and its source are of one version.
tree_check_packages() {
	local versions
	versions=$(grep -F -e "linux-binary-unsigned-$KREL=" -e "linux-modules-$KREL=" -e "linux-headers-$KREL=" \
		-e "linux-source-$KERNEL=" -e "linux-config-$KERNEL=" "$1" || true)
	if [ "$(wc -l <<<"$versions")" = 5 ] && [ "$(cut -d= -f2- <<<"$versions" | sort -u | wc -l)" = 1 ]; then return; fi
	echo "The packages of the kernel are not of one version:"
	echo "$versions"
	exit "$E_VERSION"
}

# tree_check_config OURS SHIPPED: they differ only in what the build of the package alone knows.
tree_check_config() {
	local differences
	differences=$(diff <(tree_config_lines "$1") <(tree_config_lines "$2") | grep '^[<>]' | head -n 20 || true)
	[ -z "$differences" ] && return
	echo "The prepared tree (<) is not configured as the shipped kernel (>), see ${1##*/}:"
	echo "$differences"
	exit "$E_VERSION"
}

# The compiler's version counts, the revision of its package does not.
tree_config_lines() {
	sed -E -e '/CONFIG_(BUILD_SALT|MODULE_SIG_KEY)=/d' -e '/CONFIG_CC_VERSION_TEXT=/s/ \(Debian [^)]*\)//' "$1" | sort
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

# layout_check: types that the bindings see are laid out as in the shipped kernel. A debug kernel
# is built with its tree, and has no BTF.
layout_check() {
	local object=$BUILD/modules/rust/bindings/layout.o
	if [ ! -e "$TREE/vmlinux" ] || [ "$BUILD/layout.o" -nt "$object" ]; then return 0; fi
	rm -f "$BUILD/layout.o"
	cp "$object" "$BUILD/layout.new"
	layout_compare "$BUILD/layout.new" || exit "$E_VERSION"
	mv "$BUILD/layout.new" "$BUILD/layout.o"
	touch "$BUILD/layout.o"
}

# layout_compare OBJECT: by debug information, which is made BTF in OBJECT.
layout_compare() {
	in_root pahole -J --btf_base "$TREE/vmlinux" --lang_exclude=rust "$1" &&
		in_root "$SRC/scripts/lib/btf-layout" "$TREE/vmlinux" "$1"
}
