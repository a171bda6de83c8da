# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Our modules where modprobe finds them before the stock ones: updates/siov-rs/ of a kernel's
# modules. depmod's order of search puts updates/ first unless depmod.d(5) says otherwise, which
# install_check finds.

INSTALL_DIR=updates/siov-rs
INSTALL_RULE=etc/udev/rules.d/61-siov-rs-mdevctl.rules
SIGN=()			# key and certificate

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
	if [ ${#SIGN[@]} != 0 ]; then sign_modules "${SIGN[@]}" "$new"/*.ko; fi
	rm -rf "$to"
	mkdir -p "${to%/*}"
	mv "$new" "$to"
	install_kmod depmod -b "${base:-/}" "$KREL"
	install_check "$base" "$to"
	install_rule "$base"
}

# What the scripts would find out too late, asked before anything is built. BASE has no slash at
# its end.
install_check_target() {
	local base=$1 dir=$1/lib/modules/$KREL installed
	if [ ! -d "$dir/kernel" ]; then
		installed=$(find "$base/lib/modules" -mindepth 2 -maxdepth 2 -name kernel -printf '%P\n' 2>/dev/null | sed 's|/kernel$||' | sort | paste -sd ' ' || true)
		die "$E_USAGE" "no kernel $KREL below ${base:-/}; there are: ${installed:-none}" \
			"install the package linux-image-$KREL there, or choose the kernel with --kernel"
	fi
	install_check_writable "$dir"
	install_check_writable "$base/${INSTALL_RULE%/*}"
}

install_check_writable() {
	local path=$1
	while [ ! -e "$path" ]; do path=${path%/*}; done
	[ -w "$path" ] || die "$E_FAIL" "no right to write to $path" "run it as root, or choose another place with --root"
}

# install_check_kernel BASE: the kernel below BASE is the one that the tree was prepared for, not
# another of its name: its modules are the same files.
install_check_kernel() {
	local stock=$ROOT$MODDIR to=$1/lib/modules/$KREL file compared=0
	[ -d "$stock" ] || stock=$MODDIR
	while read -r file; do
		[ -e "$to/$file" ] || continue
		compared=$((compared + 1))
		cmp -s "$stock/$file" "$to/$file" && continue
		echo "$to/$file is not that of Debian's $KREL $KERNEL_VERSION."
		echo "The modules are built for that kernel: install its packages of this version."
		exit "$E_VERSION"
	done < <(cd "$stock" && find kernel/drivers/vfio kernel/drivers/iommu kernel/arch/x86/kvm kernel/virt -name '*.ko*' 2>/dev/null)
	[ "$compared" != 0 ] && return
	echo "$to has no module by which the kernel could be known (kernel/drivers/vfio)."
	exit "$E_VERSION"
}

# install_check_running BTF: the types of the running kernel are those of the tree. A debug kernel
# has none.
install_check_running() {
	if [ ! -r "$1" ] || [ ! -e "$TREE/vmlinux" ]; then return 0; fi
	in_root "$SRC/scripts/lib/btf-layout" raw "$TREE/vmlinux" | cmp -s - "$1" && return
	echo "The types of the running kernel ($1) are not those of Debian's $KREL $KERNEL_VERSION."
	echo "If that package has just been upgraded, boot it first."
	exit "$E_VERSION"
}

# Releases below BASE that have modules of ours.
install_releases() {
	local dir
	for dir in "$1"/lib/modules/*/"$INSTALL_DIR" "$1"/lib/modules/.siov-rs-*; do
		[ -d "$dir" ] || continue
		dir=${dir#"$1"/lib/modules/}
		dir=${dir%/"$INSTALL_DIR"}
		printf '%s\n' "${dir#.siov-rs-}"
	done | sort -u
}

# install_remove BASE RELEASE: of a kernel that has been removed, what depmod has made goes as well.
install_remove() {
	local base=$1 dir=$1/lib/modules/$2 file
	rm -rf "${dir:?}/$INSTALL_DIR" "$base/lib/modules/.siov-rs-$2"
	if [ -d "$dir/updates" ]; then rmdir --ignore-fail-on-non-empty "$dir/updates"; fi
	[ -d "$dir" ] || return 0
	if [ -n "$(find "$dir" -name '*.ko*' -print -quit)" ] || [ -e "$dir/modules.builtin" ]; then
		install_kmod depmod -b "${base:-/}" "$2"
		return
	fi
	for file in alias alias.bin builtin.alias.bin builtin.bin dep dep.bin devname softdep symbols symbols.bin weakdep; do
		rm -f "$dir/modules.$file"
	done
	rmdir --ignore-fail-on-non-empty "$dir"
}

# The rule of udev that starts defined devices when the machine boots.
install_rule() {
	mkdir -p "$1/${INSTALL_RULE%/*}"
	cp "$SRC/scripts/udev/${INSTALL_RULE##*/}" "$1/$INSTALL_RULE.new"
	mv "$1/$INSTALL_RULE.new" "$1/$INSTALL_RULE"
}

# install_which BASE NAME: the file that modprobe takes.
install_which() { install_kmod modinfo -b "${1:-/}" -k "$KREL" -n "$2"; }

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
