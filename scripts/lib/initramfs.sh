# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The part of a guest's initramfs that does not change from run to run: busybox and modules, cached
# by content.

# initramfs TO MODULE...: copies the initramfs with our modules and the stock MODULEs to the file
# TO, whose directory also takes the log of making it.
initramfs() {
	local to=$1 key
	shift
	STEP_LOGS=${to%/*}
	key=$(hash_of "$ROOT" "$TREE" "$(cat "$SRC/scripts/guest/init" "$SRC/scripts/lib/make-initramfs" | sha256sum)" \
		"$(cd "$BUILD/modules" 2>/dev/null && find . -name '*.ko' -print0 | sort -z | xargs -0r sha256sum)" \
		"$(printf '%s\n' "$@" | sort -u)")
	cache_ensure "initramfs" "$key" 1 "initramfs" initramfs_make "$@"
	cp "$ENTRY/initramfs" "$to"
	STEP_LOGS=	# the caller's to keep or remove
}

initramfs_make() {
	local out=${!#}
	set -- "${@:1:$#-1}"
	in_root "$SRC/scripts/lib/make-initramfs" "$out/initramfs" "$MODDIR" "$BUILD/modules" "$SRC/scripts/guest/init" "$@"
}
