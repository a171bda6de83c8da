# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the host must offer. Each check names the fix and has its own exit code.

have() { command -v "$1" >/dev/null 2>&1; }

# Make, the compilers and BINDS take apart what has such characters.
host_check_path() {
	case $2 in
	*[[:space:]:\'\"\$\#%\\]*) die "$E_USAGE" "$1 is at $2: make cannot work in a path with a space, a colon or a quote" "$3" ;;
	esac
}

# Checks that are cheap enough for every run.
host_check() {
	local machine tool
	host_check_path "the checkout" "$SRC" "move it to another directory"
	host_check_path "the cache" "$CACHE" "set SIOV_CACHE to another directory"
	machine=$(uname -m)
	[ "$machine" = x86_64 ] || die "$E_ARCH" "this machine is $machine; the kernels and the emulated IOMMU are x86_64" \
		"run it on an x86_64 machine or virtual machine"
	for tool in unshare setpriv flock sha256sum; do
		have "$tool" || die "$E_TOOL" "$tool is missing" "install util-linux and coreutils"
	done
	host_check_namespace
}

# Sets NS, the command prefix that gives a private mount and process namespace with root's rights in
# it. Everything in it dies with the script that started it.
host_namespace() {
	NS=(setpriv --pdeathsig KILL unshare)
	if [ "$EUID" != 0 ]; then
		NS+=(--user --map-auto --map-root-user)
	fi
	NS+=(--mount --pid --fork --kill-child)
}

host_check_namespace() {
	local reason
	host_namespace
	reason=$("${NS[@]}" true 2>&1) && return
	if [ "$EUID" = 0 ]; then
		die "$E_TOOL" "root cannot create a mount namespace here: $reason" \
			"a container needs CAP_SYS_ADMIN (docker run --privileged), a chroot must be a mount point (mount --bind)"
	fi
	die "$E_TOOL" "user namespaces with mapped IDs do not work for $(id -un): $reason" "run as root, or let root do: $(host_namespace_fix)"
}

# What keeps a user from namespaces: a switch of the kernel, newuidmap, or no range of IDs.
host_namespace_fix() {
	local name=kernel.unprivileged_userns_clone
	if [ "$(sysctl -n "$name" 2>/dev/null)" = 0 ]; then echo "sysctl $name=1"; return; fi
	name=kernel.apparmor_restrict_unprivileged_userns
	if [ "$(sysctl -n "$name" 2>/dev/null)" = 1 ]; then echo "sysctl $name=0"; return; fi
	if ! have newuidmap; then echo "apt-get install uidmap"; return; fi
	echo "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
}

# Runs a command in NS. The subshell's own death kills it.
ns_run() { "${NS[@]}" "$@"; }

# Checks that matter only when a cache entry has to be made, with GIB of free space needed for it.
host_check_making() {
	local gib=$1 free
	free=$(df --output=avail -k "$CACHE" | tail -n 1)
	if [ $((free / 1048576)) -lt "$gib" ]; then
		die "$E_SPACE" "$CACHE has $((free / 1048576)) GiB of free space; this step needs $gib GiB" \
			"free some ('scripts/setup --prune' removes old entries) or set SIOV_CACHE to another directory"
	fi
}

# mmdebstrap, apt, which does its work, and the keys of the Debian archive; through apt when we may.
host_packages() {
	local missing=() tool
	for tool in apt-get apt-cache apt-config dpkg; do
		have "$tool" || missing+=("${tool%%-*}")
	done
	if [ ${#missing[@]} != 0 ]; then
		die "$E_TOOL" "${missing[0]} is missing on this machine; the Debian root is made with it" \
			"install apt, mmdebstrap and debian-archive-keyring with the system's package manager, or use a Debian container"
	fi
	have mmdebstrap || missing+=(mmdebstrap)
	[ -e "$ARCHIVE_KEYS" ] || missing+=(debian-archive-keyring)
	[ ${#missing[@]} = 0 ] && return
	if [ "$EUID" != 0 ]; then
		die "$E_TOOL" "missing on this machine: ${missing[*]}" "sudo apt-get install --no-install-recommends ${missing[*]}"
	fi
	step "host packages: ${missing[*]}" host_apt_install "${missing[@]}"
}

host_apt_install() {
	apt-get update || true	# an outdated list may still do
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || {
		echo "apt-get could not install: $*"
		exit "$E_TOOL"
	}
}
