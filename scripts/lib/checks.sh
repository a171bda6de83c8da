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

# The root's rustc instruments code for AddressSanitizer, and has no runtime for it: gcc's watches,
# which has to come before all other libraries.
ASAN_FLAGS=(-Zsanitizer=address -Zexternal-clangrt "-Zpre-link-args=-Wl,--no-as-needed"
	-Zpre-link-args=-lasan "-Zpre-link-args=-Wl,--as-needed")

# The pure crates, and the emulated device with its QEMU layer.
ASAN_PACKAGES=(siov-types siov-hash-table siov-iopgtable siov-vtd siov-ring siov-type1 siov-vpci
	siov-testdev-regs siov-testdev-model qemu-device)

# A program that reads beyond the end of a block ends with a report, and one that does not ends
# without: the sanitizer is there.
asan_control() {
	local dir=$BUILD/target/asan status=0
	mkdir -p "$dir"
	in_root -e RUSTC_BOOTSTRAP=1 rustc --target "$RUST_TARGET" "${ASAN_FLAGS[@]}" \
		-o "$dir/control" - <<-END || return
		fn main() {
		    let beyond: usize = std::env::args().nth(1).unwrap().parse().unwrap();
		    let block = vec![1u8; 16];
		    // Wrong on purpose.
		    std::process::exit(unsafe { block.as_ptr().add(15 + beyond).read_volatile() }.into());
		}
	END
	in_root "$dir/control" 0 || status=$?
	if [ "$status" != 1 ]; then
		echo "the control does not read its block: status $status"
		return 1
	fi
	if in_root "$dir/control" 1 >"$dir/control.log" 2>&1; then
		echo "an overflow went unseen"
		return 1
	fi
	grep -m 1 'AddressSanitizer: heap-buffer-overflow' "$dir/control.log"
}

# The host tests of ASAN_PACKAGES under AddressSanitizer.
asan_tests() {
	local package args=()
	local CARGO_ENV=(-e RUSTC_BOOTSTRAP=1 -e RUSTFLAGS="${ASAN_FLAGS[*]}"
		-e CARGO_PROFILE_TEST_OPT_LEVEL=1)
	asan_control || return
	for package in "${ASAN_PACKAGES[@]}"; do args+=(-p "$package"); done
	in_cargo test --locked --target "$RUST_TARGET" --target-dir "$BUILD/target/asan" \
		--lib --tests "${args[@]}"
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

# Tests of the scripts themselves: [NAME...]
scripts_test() {
	# shellcheck source=tests/scripts/run.sh
	. "$SRC/tests/scripts/run.sh"
	script_tests "$@"
}
