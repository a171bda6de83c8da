# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Checks of the sources that neither cargo nor Kbuild makes by itself. tools/harness/src/host/mod.rs
# lists all checks of `scripts/test host`; one that is a shell function stands here and in
# scripts/lib/step.

# Cargo knows nothing of the code that only Kbuild compiles: crates that hold `module!`, and the
# abstractions.
kernel_rustfmt() {
	local roots
	cd "$SRC" || return
	mapfile -t roots < <(
		find rust/linux -name lib.rs
		grep -rlE --include='*.rs' '^(module! \{|mod sys;)' drivers virt 2>/dev/null
	)
	in_root -C "$SRC" rustfmt --check --edition 2021 "${roots[@]}"
}

# The models of rust/ring, in a build of their own.
ring_models() {
	local CARGO_ENV=(-e "RUSTFLAGS=--cfg loom -Dwarnings")
	in_cargo test --locked --release --target-dir "$BUILD/target/loom" -p siov-ring --test loom
}

# All that has a shell's first line, or says in a comment for which shell it is.
shell_check() {
	local files
	mapfile -t files < <(cd "$SRC" && grep -rlE '^(#!/bin/(ba)?sh\b|# shellcheck shell=)' scripts .ci tests)
	in_root -C "$SRC" shellcheck --external-sources "${files[@]}"
}

# This machine's own cargo, on the same vendored crates.
machine_cargo() {
	in_cargo_config
	cd "$SRC" || return
	CARGO_HOME=$BUILD/cargo CARGO_TARGET_DIR=$BUILD/target/machine exec cargo "$@"
}
