# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A tree that is not that of the shipped kernel is noticed.

test_the_tree_is_that_of_the_shipped_kernel() {
	if [ -n "$DEBUG" ]; then skip "a debug kernel is built with its tree"; fi
	tree_check "$TREE"
}

test_another_configuration_is_noticed() {
	local shipped=$ROOT/usr/src/linux-headers-$KREL
	if [ -n "$DEBUG" ]; then skip "a debug kernel is built with its tree"; fi
	sed 's/^CONFIG_HZ=.*/CONFIG_HZ=999/' "$TREE/.config" >"$DIR/.config"
	expect_exit "$E_VERSION" "< CONFIG_HZ=999" tree_check_config "$DIR/.config" "$shipped/.config"
	grep -v CONFIG_RUST_OVERFLOW_CHECKS "$TREE/include/generated/rustc_cfg" >"$DIR/rustc_cfg"
	expect_exit "$E_VERSION" "> --cfg=CONFIG_RUST_OVERFLOW_CHECKS" tree_check_config "$DIR/rustc_cfg" "$shipped/include/generated/rustc_cfg"
	sed -E 's/^(CONFIG_CC_VERSION_TEXT=.*[0-9]\.)[0-9]+"$/\199"/' "$TREE/.config" >"$DIR/.config"
	expect_exit "$E_VERSION" CONFIG_CC_VERSION_TEXT tree_check_config "$DIR/.config" "$shipped/.config"
	# What only the build of the package knows, and the revision of the compiler's.
	sed '/^CONFIG_CC_VERSION_TEXT=/s/(Debian [^)]*)/(Debian 0-0)/' "$TREE/.config" >"$DIR/.config"
	tree_check_config "$DIR/.config" "$shipped/.config"
	sed 's/^CONFIG_BUILD_SALT=.*/CONFIG_BUILD_SALT="x"/' "$TREE/.config" >"$DIR/.config"
	tree_check_config "$DIR/.config" "$shipped/.config"
}

test_packages_of_several_versions_are_noticed() {
	local name
	for name in "binary-unsigned-$KREL" "modules-$KREL" "headers-$KREL" "source-$KERNEL" "config-$KERNEL"; do
		echo "linux-$name=1"
	done >"$DIR/packages"
	tree_check_packages "$DIR/packages"
	sed "s/^\(linux-source-.*\)=1/\1=2/" "$DIR/packages" >"$DIR/two"
	expect_exit "$E_VERSION" "not of one version" tree_check_packages "$DIR/two"
	grep -v linux-headers "$DIR/packages" >"$DIR/four"
	expect_exit "$E_VERSION" "not of one version" tree_check_packages "$DIR/four"
}

# object C: compiled with debug information, at $DIR/object.o.
object() {
	printf '%s\n' "$1" >"$DIR/object.c"
	in_root -C "$DIR" "$CC" -g -c -o "$DIR/object.o" "$DIR/object.c"
}

test_another_layout_is_noticed() {
	[ -e "$TREE/vmlinux" ] || skip "a debug kernel has no BTF"
	object 'struct list_head { struct list_head *next, *prev; }; struct list_head of_test;'
	layout_compare "$DIR/object.o"
	# Of another size, with members in another order, and of another type.
	object 'struct list_head { struct list_head *next, *prev, *more; }; struct list_head of_test;'
	expect_exit 1 "list_head differs" layout_compare "$DIR/object.o"
	object 'struct list_head { struct list_head *prev, *next; }; struct list_head of_test;'
	expect_exit 1 "list_head differs" layout_compare "$DIR/object.o"
	object 'struct list_head { struct list_head *next; unsigned long prev; }; struct list_head of_test;'
	expect_exit 1 "list_head differs" layout_compare "$DIR/object.o"
	object 'enum pid_type { PIDTYPE_TGID, PIDTYPE_PID }; enum pid_type of_test;'
	expect_exit 1 "pid_type differs" layout_compare "$DIR/object.o"
	# A type that the kernel does not have.
	object 'struct of_this_test { int a; }; struct of_this_test of_test;'
	layout_compare "$DIR/object.o"
}

test_what_the_bindings_see_is_compared() {
	[ -e "$TREE/vmlinux" ] || skip "a debug kernel has no BTF"
	[ -e "$BUILD/layout.o" ]
	# Not an empty object: types that the drivers use are in it.
	[[ $(in_root pahole -F dwarf -C pci_dev "$BUILD/modules/rust/bindings/layout.o" 2>/dev/null) = "struct pci_dev {"* ]]
}

test_the_running_kernel_is_compared_by_its_types() {
	[ -e "$TREE/vmlinux" ] || skip "a debug kernel has no BTF"
	in_root "$SRC/scripts/lib/btf-layout" raw "$TREE/vmlinux" >"$DIR/btf"
	install_check_running "$DIR/btf"
	printf 'x' | dd of="$DIR/btf" bs=1 seek=1000 conv=notrunc status=none
	expect_exit "$E_VERSION" "boot it first" install_check_running "$DIR/btf"
}
