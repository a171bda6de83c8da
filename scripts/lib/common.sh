# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced first by every script: strict mode, exit codes, the checkout and the cache, and the other
# parts.

set +o posix	# of `sh scripts/...`, where sh is bash
set -euo pipefail
shopt -s inherit_errexit

# Exit codes, the same for every script; Documentation/harness.rst explains them to users.
readonly E_FAIL=1 E_USAGE=2 E_TOOL=3 E_SPACE=4 E_MIRROR=5 E_ARCH=6 E_VERSION=7 E_TIMEOUT=8 E_PANIC=9 E_GUEST=10

# Not in the PATH of a user: depmod, among others.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# A service may come without.
if [ -z "${HOME:-}" ]; then
	HOME=$(getent passwd "$EUID" | cut -d: -f6 || true)
	export HOME=${HOME:-/nonexistent}
fi

SRC=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd -P)
CACHE=${SIOV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/siov-rs}
KERNEL=${SIOV_KERNEL:-7.3}
DEBUG=${SIOV_DEBUG:-}

for part in log args cache host archive versions root crates tree kernel-check debug-kernel kvm setup build compile-fail kcfi docs micro-bench adi-guest enforcement install initramfs checks siov; do
	# shellcheck source=/dev/null
	. "$SRC/scripts/lib/$part.sh"
done
unset part
