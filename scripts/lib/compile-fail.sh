# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Programs that must not compile: tests/compile-fail, against the modules and with the program that
# are built.

# compile_fail [PART...]: with PARTs only the cases that have one of them in their name.
compile_fail() {
	in_root -C "$SRC" "$BUILD/target/$RUST_TARGET/release/compile-fail" "$SRC" "$BUILD/modules" "$@"
}
