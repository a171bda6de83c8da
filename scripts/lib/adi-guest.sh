# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# tools/adi-guest, a payload like those of micro-bench and for the same target, with the crates that
# describe the device beside it.

ADI_GUEST_TARGET=x86_64-unknown-none

# adi_guest_rustc RUSTC ARGS...: for the payload itself and what it is made of.
adi_guest_rustc() {
	local rustc=$1
	shift
	micro_bench_rustc "$rustc" "$ADI_GUEST_TARGET" "$@"
}

# Makes adi-guest.elf, in the directory of the payloads.
build_adi_guest() {
	local out bitflags
	micro_bench_dir
	out=$MICRO_BENCH/adi-guest
	mkdir -p "$out"
	micro_bench_core "$ADI_GUEST_TARGET"
	bitflags=$(echo "$VENDOR"/bitflags-2*/src/lib.rs)
	adi_guest_rustc rustc --crate-name bitflags --crate-type rlib --cap-lints allow --out-dir "$out" "$bitflags"
	adi_guest_rustc rustc --crate-name siov_types --crate-type rlib --out-dir "$out" "$SRC/rust/types/src/lib.rs"
	adi_guest_rustc rustc --crate-name siov_testdev_regs --crate-type rlib --out-dir "$out" -L "$out" \
		--extern bitflags --extern siov_types "$SRC/rust/siov_testdev/src/lib.rs"
	adi_guest_main rustc -o "$MICRO_BENCH/adi-guest.elf" -Clinker=ld.lld -Clinker-flavor=ld.lld \
		-Clink-arg=--script="$SRC/tools/micro-bench/payload/x86_64.ld" \
		-Clink-arg=--gc-sections -Clink-arg=--fatal-warnings
}

adi_guest_main() {
	local rustc=$1
	shift
	adi_guest_rustc "$rustc" --crate-name adi_guest --crate-type bin -L "$MICRO_BENCH/adi-guest" \
		--extern siov_types --extern siov_testdev_regs "$@" "$SRC/tools/adi-guest/main.rs"
}

adi_guest_clippy() { adi_guest_main clippy-driver --emit metadata -o "$MICRO_BENCH/adi-guest/clippy.rmeta"; }

adi_guest_rustfmt() {
	in_root -C "$SRC/tools/adi-guest" rustfmt --check --edition 2021 --config-path "$SRC/rustfmt.toml" main.rs
}
