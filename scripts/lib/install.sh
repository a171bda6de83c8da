# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Our modules where modprobe finds them before the stock ones: updates/siov-rs/ of a kernel's
# modules. depmod's order of search puts updates/ first unless depmod.d(5) says otherwise, which
# install_check finds.

INSTALL_DIR=updates/siov-rs

# What is for use, and not for tests alone.
INSTALL_MODULES=(vtd iommu_aux mdev vfio_iommu_type1 siov_testdev kvm coalesced_io_livepatch)

# With the machine's own kmod if it has one, else with the root's.
install_kmod() {
	local program=$1
	shift
	if command -v "$program" >/dev/null; then "$program" "$@"; else in_root "$program" "$@"; fi
}

# install_modules BASE [WITHOUT...]: the modules for use but those that are named. A run that is
# interrupted, or finds no space, leaves what was there.
install_modules() {
	local base=$1 to=$1/lib/modules/$KREL/$INSTALL_DIR new=$1/lib/modules/.siov-rs-$KREL name file files=()
	shift
	for name in "${INSTALL_MODULES[@]}"; do
		if [[ " $* " = *" $name "* ]]; then continue; fi
		file=$BUILD/modules/$name.ko
		if [ "$name" = kvm ]; then file=$BUILD/modules/virt/kvm/kvm.ko; fi
		# A kernel without live patches has no module that is one.
		if [ -e "$file" ] || [ "$name" != coalesced_io_livepatch ]; then files+=("$file"); fi
	done
	rm -rf "$new"
	mkdir "$new"
	in_root "$SRC/scripts/lib/copy-modules" "$new" "${files[@]}"
	rm -rf "$to"
	mkdir -p "${to%/*}"
	mv "$new" "$to"
	install_kmod depmod -b "$base" "$KREL"
	install_check "$base" "$to"
}

install_remove() {
	local base=$1 updates=$1/lib/modules/$KREL/updates
	rm -rf "$base/lib/modules/$KREL/$INSTALL_DIR" "$base/lib/modules/.siov-rs-$KREL"
	[ ! -d "$updates" ] || rmdir --ignore-fail-on-non-empty "$updates"
	install_kmod depmod -b "$base" "$KREL"
}

# install_which BASE NAME: the file that modprobe takes.
install_which() { install_kmod modinfo -b "$1" -k "$KREL" -n "$2"; }

install_check() {
	local base=$1 to=$2 module name found
	for module in "$to"/*.ko; do
		name=${module##*/}
		name=${name%.ko}
		found=$(install_which "$base" "$name")
		if [ "$(readlink -e -- "$found")" != "$(readlink -e -- "$module")" ]; then
			echo "modprobe $name would take $found: depmod's configuration must search updates first (depmod.d(5))"
			exit "$E_FAIL"
		fi
	done
}

# What scripts/install and scripts/uninstall do, below a directory with the shipped vfio modules.
install_test() {
	local base=$BUILD/install to stock name
	to=$base/lib/modules/$KREL
	rm -rf "$base"
	mkdir -p "$to/kernel/drivers"
	expose "$base"
	mkdir -p "$to/kernel/arch/x86"
	in_root cp -r "$MODDIR/kernel/drivers/vfio" "$to/kernel/drivers/"
	in_root cp -r "$MODDIR/kernel/arch/x86/kvm" "$to/kernel/arch/x86/"
	in_root cp "$MODDIR/modules.order" "$MODDIR/modules.builtin" "$MODDIR/modules.builtin.modinfo" "$to/"
	install_kmod depmod -b "$base" "$KREL"
	declare -A stock=()
	for name in mdev vfio_iommu_type1 kvm; do stock[$name]=$(install_which "$base" "$name"); done

	install_modules "$base" kvm
	[ "$(install_which "$base" kvm)" = "${stock[kvm]}" ]
	install_modules "$base"
	for name in "${INSTALL_MODULES[@]}"; do
		[ "$(install_which "$base" "$name")" = "$to/$INSTALL_DIR/$name.ko" ]
	done
	[ "$(find "$to/$INSTALL_DIR" -name '*.ko' | wc -l)" = ${#INSTALL_MODULES[@]} ]
	cmp "$BUILD/modules/coalesced_io_livepatch.ko" "$to/$INSTALL_DIR/coalesced_io_livepatch.ko"
	install_kmod modprobe -d "$base" -S "$KREL" --show-depends siov_testdev >"$base/depends"
	grep -q "$INSTALL_DIR/mdev.ko" "$base/depends"
	grep -q "$INSTALL_DIR/iommu_aux.ko" "$base/depends"
	install_kmod modprobe -d "$base" -S "$KREL" --show-depends kvm_amd >"$base/depends"
	grep -q "$INSTALL_DIR/kvm.ko" "$base/depends"
	[ "$(install_kmod modprobe -d "$base" -S "$KREL" -R pci:v00001234d0000510Fsv0sd0bc00scFFi00)" = siov_testdev ]
	# A second time changes nothing.
	install_modules "$base"

	install_remove "$base"
	# Nor does this when nothing is installed.
	install_remove "$base"
	for name in "${!stock[@]}"; do
		[ "$(install_which "$base" "$name")" = "${stock[$name]}" ]
	done
	[ ! -e "$to/updates" ]
	[ "$(ls -A "$base/lib/modules")" = "$KREL" ]
	rm -rf "$base"
}
