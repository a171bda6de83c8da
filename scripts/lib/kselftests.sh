# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The kernel's own selftests, built in the root out of the prepared tree, static because the guest has no
# libraries. What tests/kselftests/upstream/SUITE holds in C is linked into every program of the suite.

# kselftest_build SUITE PROGRAM: sets PROGRAM_FILE.
kselftest_build() {
	local suite=$1 program=$2 out=$BUILD/kselftests/$1 source objects=()
	mkdir -p "$out/ours"
	for source in "$SRC/tests/kselftests/upstream/$suite"/*.c; do
		[ -e "$source" ] || continue
		objects+=("$out/ours/$(basename "$source" .c).o")
		in_root "$CC" -Wall -Werror -c "$source" -o "${objects[-1]}"
	done
	PROGRAM_FILE=$out/$program
	# Linked anew each time: make does not know of the objects in LDLIBS.
	rm -f "$PROGRAM_FILE"
	in_root -e LDFLAGS=-static -e LDLIBS="${objects[*]}" \
		make -C "$TREE/tools/testing/selftests/$suite" OUTPUT="$out" CC="$CC" "$PROGRAM_FILE"
}
