# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the host must offer. Each check names the fix and has its own exit code.

have() { command -v "$1" >/dev/null 2>&1; }

# Checks that are cheap enough for every run.
host_check() {
	local machine tool
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
	die "$E_TOOL" "user namespaces with mapped IDs do not work for $(id -un): $reason" \
		"run as root, or: apt-get install uidmap && usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
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

# mmdebstrap and the keys of the Debian archive, through apt when we may.
host_packages() {
	local missing=()
	have mmdebstrap || missing+=(mmdebstrap)
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
	[ ${#missing[@]} = 0 ] && return
	if ! have apt-get; then
		die "$E_TOOL" "missing on this machine: ${missing[*]}" "install them with the system's package manager"
	fi
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

# The archive's address as this machine's apt knows it: every Debian archive it uses, one per line.
host_mirrors() {
	local uri
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | sort -u |
		while read -r uri; do
			case $uri in
			mirror+file:*) sed 's/[[:space:]].*//;/^#/d' "/${uri#mirror+file:/}" 2>/dev/null ;;
			*) printf '%s\n' "$uri" ;;
			esac
		done
}

# Sets MIRROR to the first archive that serves all of SUITES.
host_find_mirror() {
	local uri suite probe tried=()
	probe=$CACHE/.probe-$$
	if [ -z "${SIOV_MIRROR:-}" ] && [ -z "$(host_mirrors)" ] && [ "$EUID" = 0 ] && have apt-get; then
		step "package lists of this machine" apt-get update
	fi
	for uri in ${SIOV_MIRROR:-$(host_mirrors)}; do
		uri=${uri%/}
		tried+=("$uri")
		for suite in "${SUITES[@]}"; do
			rm -f "$probe"*
			/usr/lib/apt/apt-helper -o Acquire::Retries=2 -o Acquire::http::Timeout=20 download-file \
				"$uri/dists/$suite/InRelease" "$probe" >/dev/null 2>&1 || continue 2
		done
		rm -f "$probe"*
		MIRROR=$uri
		return
	done
	rm -f "$probe"*
	if [ ${#tried[@]} = 0 ]; then
		die "$E_MIRROR" "this machine's apt uses no Debian archive" \
			"set SIOV_MIRROR to the URI of a mirror that has ${SUITES[*]}"
	fi
	die "$E_MIRROR" "no answer, or not all of ${SUITES[*]}, from: ${tried[*]}" \
		"check the network, or set SIOV_MIRROR to the URI of another mirror"
}
