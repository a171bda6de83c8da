# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# kvm.ko from the distribution's own source, whose coalesced I/O comes from this checkout.
# Everything else of it is the same for all checkouts and is compiled once, as a whole kvm.ko in C
# for comparison.
#
# Only kvm.ko is made: the kvm-amd.ko and kvm-intel.ko of the distribution load on it.

kvm_key() { hash_of "$1" "$(hash_recipe kvm_make kvm_make_in)"; }

# kvm_make_in DIR [VARIABLE=VALUE...]: builds DIR/arch/x86/kvm/kvm.ko.
kvm_make_in() {
	local dir=$1
	shift
	in_root make -C "$TREE" "${TOOLS[@]}" M="$dir/arch/x86/kvm" "$@" -j"$(nproc)" modules
}

# The sources lie as in the kernel, since they include each other by relative paths. Their Makefile
# is changed to include the one next to it, to leave out the two vendor modules, and to take another
# object for coalesced_mmio.o.
kvm_make() {
	local out=$1
	in_root -C "$TREE" cp -a --parents arch/x86/kvm virt/kvm "$out"
	find "$out" -name '*.o' -delete
	# shellcheck disable=SC2016  # make's variables
	sed -i -e 's|^include $(srctree)/virt/kvm/Makefile.kvm$|include $(src)/../../../virt/kvm/Makefile.kvm|' \
		-e '/^obj-$(CONFIG_KVM_INTEL)/d' -e '/^obj-$(CONFIG_KVM_AMD)/d' "$out/arch/x86/kvm/Makefile"
	# shellcheck disable=SC2016
	sed -i 's|^\(kvm-$(CONFIG_KVM_MMIO) += $(KVM)/\)coalesced_mmio.o$|\1$(or $(COALESCED_IO),coalesced_mmio).o|' \
		"$out/virt/kvm/Makefile.kvm"
	if ! grep -q 'src)/../../../virt' "$out/arch/x86/kvm/Makefile" ||
		! grep -q COALESCED_IO "$out/virt/kvm/Makefile.kvm"; then
		echo "The Makefiles of KVM are not as expected: see kvm_make in scripts/lib/kvm.sh."
		exit "$E_VERSION"
	fi
	kvm_make_in "$out"
	in_root strip --strip-debug -o "$out/kvm-c.ko" "$out/arch/x86/kvm/kvm.ko"
}

# Sets KVM_BASE: sources, objects, and kvm-c.ko, which is kvm.ko in C.
kvm_ensure() {
	local tree
	tree=$(tree_key)
	if [ -n "$DEBUG" ]; then tree=$(debug_kernel_key "$DEBUG"); fi
	cache_ensure kvm "$(kvm_key "$tree")" 2 "kvm.ko's objects" kvm_make
	KVM_BASE=$ENTRY
}

# Links the Rust objects of $BUILD/modules into $BUILD/modules/virt/kvm/kvm.ko, unless they are
# those of the last time.
kvm_link() {
	local out=$BUILD/kvm modules=$BUILD/modules object=virt/kvm/coalesced_io.o
	if [ "$(cat "$out/base" 2>/dev/null)" != "$KVM_BASE" ]; then
		rm -rf "$out"
		cp -a "$KVM_BASE" "$out"
		printf '%s\n' "$KVM_BASE" >"$out/base"
	fi
	in_root ld -r -o "$out/new.o" "$modules"/{virt/kvm/coalesced_io,rust/ring,rust/bindings/helpers_kvm,rust/version}.o
	if [ -e "$modules/virt/kvm/kvm.ko" ] && cmp -s "$out/new.o" "$out/$object"; then return; fi
	mv "$out/new.o" "$out/$object"
	: >"$out/virt/kvm/.coalesced_io.o.cmd"	# modpost reads it, for the sources
	kvm_make_in "$out" COALESCED_IO=coalesced_io
	in_root strip --strip-debug -o "$modules/virt/kvm/kvm.ko" "$out/arch/x86/kvm/kvm.ko"
}

# The relocations of the live patch, which Kbuild's tools cannot make.
# A kernel without live patches has no such module.
kvm_link_livepatch() {
	[ -e "$BUILD/modules/coalesced_io_livepatch.ko" ] || return 0
	in_root python3 "$SRC/scripts/lib/klp-link" "$BUILD/modules/coalesced_io_livepatch.ko" \
		kvm kvm_io_bus_register_dev kvm_io_bus_unregister_dev kvm_lock vm_list kvm_put_kvm
}

# kvm_variant NAME TO: copies the kvm.ko that a scenario asks for.
kvm_variant() {
	case $1 in
	c) cp "$KVM_BASE/kvm-c.ko" "$2" ;;
	stock)
		in_root bash -euc '
			set -- "$1"/kernel/arch/x86/kvm/kvm.ko* "$2"
			case $1 in
			*.xz) xz -dc "$1" >"$2" ;;
			*.zst) zstd -qdc "$1" >"$2" ;;
			*) strip --strip-debug -o "$2" "$1" ;;
			esac' _ "$MODDIR" "$2"
		;;
	*) die "$E_USAGE" "kvm = $1: not stock or c" ;;
	esac
}
