# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Options that all scripts share, and --help: the comment at the head of the script is its help
# text.

usage() {
	sed -n '4,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

usage_error() { die "$E_USAGE" "$1" "see '$0 --help'"; }

need_value() { [ $# -ge 2 ] || usage_error "$1 needs a value"; }

# Takes a shared option off the front of "$@". SHIFT is the number of words taken, 0 if it was none.
common_option() {
	SHIFT=1
	case $1 in
	--kernel) need_value "$@"; KERNEL=$2 SHIFT=2 ;;
	--kernel=*) KERNEL=${1#*=} ;;
	--debug) DEBUG=kasan ;;
	--debug=*) DEBUG=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	*) SHIFT=0 ;;
	esac
}

# To be called once all options are known.
load_versions() {
	local CHOSEN=${SIOV_CHOSEN:-$(versions_file)}
	[ -e "$CHOSEN" ] || CHOSEN=
	# shellcheck source=scripts/versions
	. "$SRC/scripts/versions" || usage_error "kernel '$KERNEL' is not in the matrix (${KERNELS[*]})"
	if [ -n "$DEBUG" ]; then debug_kernel_check_variant; fi
}
