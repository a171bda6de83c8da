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

# The models of concurrent code, in a build of their own: tests/loom.rs of each crate that has one.
loom_models() {
	local file packages=()
	local CARGO_ENV=(-e "RUSTFLAGS=--cfg loom -Dwarnings")
	for file in "$SRC"/rust/*/tests/loom.rs; do
		packages+=(-p "$(sed -n 's/^name = "\(.*\)"/\1/p' "${file%/tests/loom.rs}/Cargo.toml")")
	done
	in_cargo test --locked --release --target-dir "$BUILD/target/loom" --test loom "${packages[@]}"
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
