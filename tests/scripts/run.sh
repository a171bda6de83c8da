# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Runs the functions test_* of tests/scripts/*.test.sh, or those whose names are given; what they
# call is in scripts/lib. Each runs in a shell of its own, with strict mode, in an empty directory
# $DIR. The output is TAP.

# Leaves a test that cannot run here.
skip() {
	printf 'SKIP: %s\n' "$*"
	exit 77
}

# expect_exit STATUS TEXT COMMAND...: COMMAND leaves with STATUS and its output has TEXT.
expect_exit() {
	local status=0 want=$1 text=$2
	shift 2
	# Not under `||`, which would switch off errexit in COMMAND.
	("$@") >"$DIR/output" 2>&1 </dev/null &
	wait $! || status=$?
	cat "$DIR/output"
	if [ "$status" != "$want" ]; then echo "exit $status, not $want: $*"; exit 1; fi
	grep -qF -- "$text" "$DIR/output" || { echo "does not say: $text"; exit 1; }
}

# refuse COMMAND...: COMMAND fails.
refuse() {
	if "$@"; then echo "succeeded: $*"; exit 1; fi
}

script_tests() {
	local file name names count=0 failed=0 status DIR
	for file in "$SRC"/tests/scripts/*.test.sh; do
		# shellcheck source=/dev/null
		. "$file"
	done
	mapfile -t names < <(compgen -A function test_ | sort)
	if [ $# != 0 ]; then names=("$@"); fi
	echo "1..${#names[@]}"
	for name in "${names[@]}"; do
		count=$((count + 1)) status=0
		DIR=$(mktemp -d /tmp/siov-rs-test.XXXXXX)
		chmod 755 "$DIR"
		(set -e; STEP_LOGS=$DIR/logs; mkdir "$STEP_LOGS"; "$name") >"$DIR.log" 2>&1 </dev/null &
		wait $! || status=$?
		case $status in
		0) echo "ok $count ${name#test_}" ;;
		77) echo "ok $count ${name#test_} # SKIP $(sed -n 's/^SKIP: //p' "$DIR.log" | tail -n 1)" ;;
		*)
			sed 's/^/# /' "$DIR.log"
			echo "not ok $count ${name#test_}"
			failed=1
			;;
		esac
		ns_run rm -rf --one-file-system "$DIR" "$DIR.log"
	done
	return "$failed"
}
