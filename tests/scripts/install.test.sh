# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# scripts/install and scripts/uninstall, below a directory with the shipped modules of VFIO and KVM.

# Sets BASE, MODULES and TO: a system, the modules of its kernel, and ours among them.
install_test_base() {
	BASE=$DIR/base
	MODULES=$BASE/lib/modules/$KREL
	TO=$MODULES/$INSTALL_DIR
	expose "$DIR"
	mkdir -p "$MODULES"/kernel/{drivers,arch/x86,virt}
	in_root cp -r "$MODDIR/kernel/drivers/vfio" "$MODULES/kernel/drivers/"
	in_root cp -r "$MODDIR/kernel/arch/x86/kvm" "$MODULES/kernel/arch/x86/"
	in_root cp "$MODDIR/modules.order" "$MODDIR/modules.builtin" "$MODDIR/modules.builtin.modinfo" "$MODULES/"
	install_kmod depmod -b "$BASE" "$KREL"
}

test_modprobe_takes_ours_until_they_are_removed() {
	local name
	install_test_base
	declare -A stock=()
	for name in mdev vfio_iommu_type1 kvm; do stock[$name]=$(install_which "$BASE" "$name"); done

	install_modules "$BASE" kvm
	[ "$(install_which "$BASE" kvm)" = "${stock[kvm]}" ]
	install_modules "$BASE"
	for name in "${INSTALL_MODULES[@]}"; do
		if [ "$name" = coalesced_io_livepatch ] && [ ! -e "$BUILD/modules/$name.ko" ]; then continue; fi
		[ "$(install_which "$BASE" "$name")" = "$TO/$name.ko" ]
	done
	if [ -e "$BUILD/modules/coalesced_io_livepatch.ko" ]; then
		cmp "$BUILD/modules/coalesced_io_livepatch.ko" "$TO/coalesced_io_livepatch.ko"
	fi
	install_kmod modprobe -d "$BASE" -S "$KREL" --show-depends siov_testdev >"$DIR/depends"
	grep -q "$INSTALL_DIR/mdev.ko" "$DIR/depends"
	grep -q "$INSTALL_DIR/iommu_aux.ko" "$DIR/depends"
	install_kmod modprobe -d "$BASE" -S "$KREL" --show-depends kvm_amd >"$DIR/depends"
	grep -q "$INSTALL_DIR/kvm.ko" "$DIR/depends"
	[ "$(install_kmod modprobe -d "$BASE" -S "$KREL" -R pci:v00001234d0000510Fsv0sd0bc00scFFi00)" = siov_testdev ]
	# A second time changes nothing.
	install_modules "$BASE"
	[ "$(install_releases "$BASE")" = "$KREL" ]
	[ -e "$BASE/$INSTALL_RULE" ]

	"$SRC/scripts/uninstall" --root "$BASE"
	# Nor does this when nothing is installed.
	"$SRC/scripts/uninstall" --root "$BASE"
	for name in "${!stock[@]}"; do
		[ "$(install_which "$BASE" "$name")" = "${stock[$name]}" ]
	done
	[ ! -e "$MODULES/updates" ]
	[ ! -e "$BASE/$INSTALL_RULE" ]
	[ "$(ls -A "$BASE/lib/modules")" = "$KREL" ]
}

test_what_is_installed_tells_itself_from_stock() {
	local module section
	install_test_base
	install_modules "$BASE"
	[[ $(build_commit) =~ ^([0-9a-f]{12}(-dirty)?|unknown)$ ]]
	for module in "$TO"/*.ko; do
		[ "$(install_kmod modinfo -F version "$module")" = "$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$SRC/Cargo.toml")" ]
		grep -qF "\"$(install_kmod modinfo -F commit "$module")\"" "$BUILD/modules/rust/version_generated.h"
		if [ -e "$TREE/vmlinux" ]; then
			for section in .BTF .BTF.base; do in_root readelf -SW "$module" | grep " $section "; done
		fi
	done
	[ -z "$(install_kmod modinfo -F commit "$(find "$MODULES/kernel" -name 'mdev.ko*')")" ]
}

test_all_releases_are_uninstalled() {
	local other=7.2.1+old-amd64 gone=7.1.9+gone-amd64
	install_test_base
	install_modules "$BASE" kvm
	cp -r "$MODULES" "$BASE/lib/modules/$other"
	# Of a kernel that was purged: our modules, and what depmod has made.
	mkdir -p "$BASE/lib/modules/$gone"
	cp -r "$MODULES/updates" "$BASE/lib/modules/$gone/"
	install_kmod depmod -b "$BASE" "$gone"
	mkdir "$BASE/lib/modules/.siov-rs-$other"	# an interrupted run's
	"$SRC/scripts/uninstall" --kernel "$KERNEL" --root "$BASE"
	[ "$(install_releases "$BASE" | tr '\n' ' ')" = "$gone $other " ]
	[ -e "$BASE/$INSTALL_RULE" ]
	"$SRC/scripts/uninstall" --root "$BASE"
	[ -z "$(install_releases "$BASE")" ]
	[ ! -e "$BASE/lib/modules/$gone" ]
	[ ! -e "$BASE/lib/modules/.siov-rs-$other" ]
	[ ! -e "$BASE/$INSTALL_RULE" ]
	refuse grep -q siov-rs "$BASE/lib/modules/$other/modules.dep"
}

test_a_kernel_that_is_not_installed_is_refused() {
	install_test_base
	rm -rf "$MODULES/kernel"
	expect_exit 2 "no kernel $KREL" "$SRC/scripts/install" --kernel "$KERNEL" --root "$BASE"
	grep -q "there are: none" "$DIR/output"
	mkdir -p "$BASE/lib/modules/6.1.0-9-amd64/kernel"
	expect_exit 2 "there are: 6.1.0-9-amd64" "$SRC/scripts/install" --kernel "$KERNEL" --root "$BASE"
}

test_a_kernel_of_another_build_is_refused() {
	local file
	install_test_base
	install_check_kernel "$BASE"
	file=$(find "$MODULES" -name 'vfio.ko*')
	printf x | dd of="$file" bs=1 seek=100 conv=notrunc status=none
	expect_exit "$E_VERSION" "is not that of Debian" install_check_kernel "$BASE"
	rm -rf "$MODULES"/kernel/*
	expect_exit "$E_VERSION" "no module by which" install_check_kernel "$BASE"
}

test_the_right_to_write_is_asked_for_first() {
	install_test_base
	checkout_copy "$DIR/checkout"
	if [ "$EUID" = 0 ]; then
		expect_exit "$E_FAIL" "no right to write" as_user "$BASH" -c '. "$1/scripts/lib/common.sh"; KREL=$3; install_check_target "$2"' _ "$DIR/checkout" "$BASE" "$KREL"
	else
		chmod a-w "$MODULES"
		expect_exit "$E_FAIL" "no right to write" install_check_target "$BASE"
	fi
}

test_the_rule_is_one_of_udev() {
	local verify
	verify=$(in_root udevadm verify --no-style "$SRC/scripts/udev/${INSTALL_RULE##*/}" 2>&1) || { echo "$verify"; exit 1; }
	echo "$verify"
}
