# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The Debian root that holds the compilers, the kernel packages and QEMU. The host needs none of
# them.

BINDS=()	# further host directories that in_root shows under the same path

# Makes the file or directory $1 of the host visible in the root. Prints its real path.
expose() {
	local path dir
	path=$(readlink -e -- "$1") || die "$E_USAGE" "no such file: $1"
	dir=$path
	[ -d "$dir" ] || dir=${path%/*}
	BINDS+=("${dir:-/}")
	EXPOSED=$path
}

# in_root [-C DIR] [-b DIR]... [-e NAME=VALUE]... COMMAND...: runs COMMAND in the root, with the
# checkout, the cache, /tmp and each -b DIR at their own paths and nothing else of the host.
in_root() {
	local dir=/ env=() binds=("${BINDS[@]}")
	while :; do
		case $1 in
		-C) dir=$2; shift 2 ;;
		-b) binds+=("$2"); shift 2 ;;
		-e) env+=("$2"); shift 2 ;;
		*) break ;;
		esac
	done
	ns_run "$BASH" "$SRC/scripts/lib/enter-root" "$ROOT" "$dir" "/tmp:$SRC:$CACHE$(printf ':%s' "${binds[@]}")" \
		env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
		TERM="${TERM:-dumb}" "${env[@]}" "$@"
}

root_key() { hash_of "${SUITES[*]}" "${PINS[*]}" "${EXACT[*]}" "${PACKAGES[*]}" "$(hash_recipe root_make root_preferences root_check_versions)"; }

root_preferences() {
	local pin pair
	for pin in "${PINS[@]}"; do tr '|' '\n' <<<"$pin"; echo; done
	# An archive may keep several versions of a package: take the one that is pinned.
	for pair in "${EXACT[@]}"; do
		printf 'Package: %s\nPin: version %s\nPin-Priority: 990\n\n' "${pair%%=*}" "${pair#*=}"
	done
}

# The archive's Release file of a frozen mirror has expired, hence no check of Valid-Until; its
# signature is checked as ever.
root_make() {
	local out=$1 suite sources=() options preferences=$1/preferences packages
	root_preferences >"$preferences"
	for suite in "${SUITES[@]}"; do sources+=("deb $MIRROR $suite main"); done
	packages=$(IFS=,; echo "${PACKAGES[*]}")
	options=(
		--variant=apt --include="$packages"
		--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Languages "none"'
		--setup-hook="mkdir -p \"\$1\"/etc/apt/preferences.d && cp '$preferences' \"\$1\"/etc/apt/preferences.d/siov"
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
		--dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*'
	)
	mkdir "$out/fs"
	if [ "$EUID" = 0 ]; then
		# In a namespace, so that an interrupted run leaves no mounts behind.
		ns_run --mount-proc mmdebstrap --mode=root "${options[@]}" "${SUITES[0]}" "$out/fs" "${sources[@]}" || root_explain
	else
		# mmdebstrap's own unshared user may not reach $CACHE, so the tree is handed over as
		# a stream.
		mmdebstrap --mode=unshare --format=tar --skip=output/dev "${options[@]}" "${SUITES[0]}" - "${sources[@]}" |
			ns_run tar -C "$out/fs" -x --numeric-owner || root_explain
	fi
	ns_run chroot "$out/fs" dpkg-query -W -f '${Package}=${Version}\n' >"$out/packages"
	ns_run sh -c ': >"$1/etc/resolv.conf"' _ "$out/fs"
	root_check_versions "$out/packages"
}

root_check_versions() {
	local pair found bad=0
	for pair in "${EXACT[@]}"; do
		grep -qxF "$pair" "$1" && continue
		found=$(grep "^${pair%%=*}=" "$1" || echo nothing)
		echo "pinned: $pair, the mirror gave: $found"
		bad=1
	done
	[ "$bad" = 0 ] || root_moved_on
}

# mmdebstrap says too little about a package that the mirror no longer has.
root_explain() {
	echo "mmdebstrap failed"
	if grep -qE 'Unable to locate package|has no installation candidate|Version .* was not found' "$STEP_LOG"; then
		root_moved_on
	fi
	exit "$E_FAIL"
}

root_moved_on() {
	echo "The mirror $MIRROR does not have the versions that scripts/versions pins."
	echo "Set SIOV_MIRROR to a snapshot of the Debian archive that has them, or pin the new versions there."
	exit "$E_VERSION"
}

# The packages, with versions, that a kernel tree is made from and built with. Trees depend on these
# alone: a program for the guest that joins the root does not cost a new tree.
root_build_packages() {
	grep -E '^(linux-(source|config|headers|kbuild)-|(rustc|rust-src|bindgen|clang|llvm|lld|gcc|binutils|make|pahole|bc|bison|flex|libelf-dev|libssl-dev|libc6-dev)[-=0-9])' \
		"${ROOT%/fs}/packages"
}

# Sets ROOT.
root_ensure() {
	local key
	key=$(root_key)
	if [ ! -d "$CACHE/root-$key" ]; then
		host_packages
		host_find_mirror
	fi
	cache_ensure root "$key" 8 "Debian root for kernel $KERNEL" root_make
	ROOT=$ENTRY/fs
}
