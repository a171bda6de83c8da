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

root_key() { hash_of "${SUITES[*]}" "${PINS[*]}" "${EXACT[*]}" "${PACKAGES[*]}" "$(hash_recipe root_make root_preferences archive_sources archive_options)"; }

root_preferences() {
	local pin pair
	for pin in "${PINS[@]}"; do tr '|' '\n' <<<"$pin"; echo; done
	# An archive may keep several versions of a package: take the one that is pinned.
	for pair in "${EXACT[@]}"; do
		printf 'Package: %s\nPin: version %s\nPin-Priority: 990\n\n' "${pair%%=*}" "${pair#*=}"
	done
}

# root_make DOWNLOADS DIR
root_make() {
	local downloads=$1 out=$2 sources=() options packages line
	root_preferences >"$out/preferences"
	mapfile -t sources < <(archive_sources "$MIRROR")
	packages=$(IFS=,; echo "${PACKAGES[*]}")
	# Files go into the root by hooks that mmdebstrap runs itself: for a user, the tree is made
	# by another one, who may not enter a home directory.
	options=(
		--variant=apt --include="$packages" --keyring="$ARCHIVE_KEYS"
		--setup-hook='mkdir -p "$1"/etc/apt/preferences.d "$1"/var/cache/apt/archives'
		--setup-hook="upload '$out/preferences' /etc/apt/preferences.d/siov"
		--setup-hook="sync-in '$downloads' /var/cache/apt/archives"
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
		--dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*'
	)
	while read -r line; do options+=(--aptopt="$line"); done < <(archive_options)
	archive_download "$downloads"
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
	rm -rf "$downloads"
}

# The mirror has them, as versions_choose has seen, but apt may prefer another.
root_check_versions() {
	local missing
	missing=$(versions_missing "$(cat "$1")")
	[ -z "$missing" ] && return
	printf 'not installed, although the mirror has it: %s\n' "${missing//$'\n'/ }"
	echo "The preferences (PINS) of scripts/versions do not choose what it pins."
	exit "$E_VERSION"
}

root_explain() {
	echo "mmdebstrap failed"
	exit "$E_FAIL"
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
	if [ ! -d "$CACHE/root-$(root_key)" ]; then
		host_packages
		versions_choose
	fi
	key=$(root_key)
	cache_lock_open "downloads-$key"
	flock -s "$LOCK_FD"	# nobody prunes them
	cache_ensure root "$key" 8 "Debian root for kernel $KERNEL" root_make "$CACHE/downloads-$key"
	ROOT=$ENTRY/fs
}
