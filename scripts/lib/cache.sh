# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The content-addressed cache. An entry KIND-KEY is a directory; KEY hashes all its inputs. It is
# made under another name and renamed when complete, so an entry that exists is whole. One lock per
# entry: held exclusively while it is made, shared while a script uses it.

hash_of() { printf '%s\0' "$@" | sha256sum | cut -c1-16; }

# A recipe is hashed as the shell sees it: comments and layout do not count.
hash_recipe() { declare -f "$@" | sha256sum | cut -c1-16; }

cache_init() {
	{ mkdir -p "$CACHE/locks" && [ -w "$CACHE" ] && [ -w "$CACHE/locks" ]; } 2>/dev/null ||
		die "$E_SPACE" "cannot write to the cache directory $CACHE" "set SIOV_CACHE to a directory you can write to"
	CACHE=$(cd "$CACHE" && pwd -P)
}

# Opens the lock file of an entry; LOCK_FD is the descriptor, held until the script ends.
cache_lock_open() { exec {LOCK_FD}>>"$CACHE/locks/$1"; }

# cache_lock MODE TEXT: MODE is -s or -x; says so if it has to wait.
cache_lock() {
	flock -n "$1" "$LOCK_FD" && return
	note "another run is preparing this ($2), waiting for it"
	flock "$1" "$LOCK_FD"
}

# cache_ensure KIND KEY GIB TEXT MAKER...: sets ENTRY to the entry's directory, made by
# `MAKER... DIR` if it is not there yet; GIB of free space are demanded first.
cache_ensure() {
	local kind=$1 key=$2 gib=$3 text=$4 partial
	shift 4
	ENTRY=$CACHE/$kind-$key
	cache_lock_open "$kind-$key"
	cache_lock -s "$text"
	if [ -d "$ENTRY" ]; then
		touch "$CACHE/locks/$kind-$key"
		step_cached "$text"
		return
	fi
	# Two holders of the shared lock that both wait for the exclusive one would wait for ever.
	flock -u "$LOCK_FD"
	cache_lock -x "$text"
	if [ -d "$ENTRY" ]; then
		step_cached "$text"
	else
		cache_sweep
		host_check_making "$gib"
		partial=$CACHE/.partial-$kind-$key
		cache_remove "$partial"	# our own lock keeps the sweep off it
		mkdir "$partial"
		step "$text" cache_make "$partial" "$ENTRY" "$@"
	fi
	flock -s "$LOCK_FD"
	[ -d "$ENTRY" ] || die "$E_FAIL" "$ENTRY was removed while it was waited for" "run the same command again"
}

cache_make() {
	local partial=$1 entry=$2
	shift 2
	"$@" "$partial"
	sync -f "$partial"
	mv -T "$partial" "$entry"
}

# Entries made without root hold files of mapped user IDs, hence the namespace. One file system
# only: a bind mount that an interrupted run left behind must never be followed.
cache_remove() {
	local path
	for path; do
		[ -e "$path" ] || continue
		if [ -d "$path" ] && [[ ${path##*/} != .partial-* ]]; then
			mv -T "$path" "$CACHE/.partial-${path##*/}"
			path=$CACHE/.partial-${path##*/}
		fi
		ns_run rm -rf --one-file-system -- "$path"
	done
}

# A build directory serves as long as its checkout and the kernel tree it was built against are
# there.
cache_build_is_used() {
	local path=$1 tree
	shift
	[ -d "$(cat "$path/checkout" 2>/dev/null)" ] || return
	tree=$(cat "$path/tree" 2>/dev/null)
	[[ " $* " = *" $tree "* ]]
}

# Removes what interrupted or failed runs left half-made.
cache_sweep() {
	local path
	for path in "$CACHE"/.partial-*; do
		[ -e "$path" ] || continue
		cache_remove_unused "$path" "${path##*/.partial-}" || true	# in use
	done
}

# cache_remove_unused PATH NAME: unless a run holds the lock of the entry NAME. Returns whether it
# did.
cache_remove_unused() {
	local fd
	exec {fd}>>"$CACHE/locks/$2"
	if flock -n -x "$fd"; then
		cache_remove "$1"
		exec {fd}>&-
		return
	fi
	exec {fd}>&-
	return 1
}

# cache_prune KEEP...: removes every entry that is not named, half-made ones, build directories of
# checkouts that are gone, and logs older than two weeks. What another run uses stays.
cache_prune() {
	local path name keep
	for path in "$CACHE"/{root,downloads,archive,tree,debug-kernel,vendor,kvm,initramfs,build,core}-* "$CACHE"/.partial-*; do
		[ -d "$path" ] || continue
		name=${path##*/}
		name=${name#.partial-}
		if [[ ${path##*/} != .partial-* ]]; then
			for keep; do [ "$keep" = "$name" ] && continue 2; done
			if [[ $name = build-* ]] && cache_build_is_used "$path" "$@"; then continue; fi
		fi
		if cache_remove_unused "$path" "$name"; then
			say "removed $path"
		else
			say "in use, kept: $path"
		fi
	done
	find "$CACHE/logs" -mindepth 1 -maxdepth 1 -type d -mtime +14 -exec rm -rf {} + 2>/dev/null || true
}
