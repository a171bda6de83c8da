# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The bare-metal payloads of tools/micro-bench, built by rustc itself: there is no packaged `core`
# for their targets, so it is compiled from rust-src, once per compiler.

MICRO_BENCH_TARGETS=(aarch64-unknown-none-softfloat x86_64-unknown-none)

# An interrupted function must keep its frame for reports of exceptions, and no panic is caught. One
# unit of code generation: what is measured must not depend on how the compiler cuts the program.
MICRO_BENCH_FLAGS=(-Copt-level=2 -Cpanic=abort -Cforce-frame-pointers=yes -Ccodegen-units=1)

# Position-independent where the image may be loaded anywhere; see the linker scripts.
micro_bench_target_flags() {
	case $1 in
	aarch64-*) echo -Crelocation-model=pic ;;
	x86_64-*) echo -Crelocation-model=static -Ccode-model=small ;;
	esac
}

micro_bench_core_key() {
	hash_of "$1" "$(root_key)" "$(hash_recipe micro_bench_make_core micro_bench_target_flags)" "${MICRO_BENCH_FLAGS[*]}"
}

# micro_bench_core TARGET: sets CORE to the directory of its libcore.rlib.
micro_bench_core() {
	cache_ensure core "$(micro_bench_core_key "$1")" 1 "core for $1" micro_bench_make_core "$1"
	CORE=$ENTRY
}

micro_bench_make_core() {
	local source edition flags
	source=$(in_root rustc --print sysroot)/lib/rustlib/src/rust/library/core
	edition=$(in_root sed -n 's/^edition = "\(.*\)"/\1/p' "$source/Cargo.toml")
	read -ra flags < <(micro_bench_target_flags "$1")
	in_root -e RUSTC_BOOTSTRAP=1 rustc --target "$1" "${MICRO_BENCH_FLAGS[@]}" "${flags[@]}" --edition "$edition" \
		--cap-lints allow --crate-name core --crate-type rlib --out-dir "$2" "$source/src/lib.rs"
	# Every no_std crate links it; what code needs of it, payload/libc.rs has.
	in_root -e RUSTC_BOOTSTRAP=1 rustc --target "$1" "${MICRO_BENCH_FLAGS[@]}" "${flags[@]}" -L "$2" \
		--cap-lints allow --crate-name compiler_builtins --crate-type rlib --out-dir "$2" - <<<'
		#![feature(compiler_builtins)]
		#![compiler_builtins]
		#![no_std]'
}

# micro_bench_rustc RUSTC TARGET ARGS...: with the flags of all crates of the payload.
micro_bench_rustc() {
	local rustc=$1 target=$2 flags
	shift 2
	read -ra flags < <(micro_bench_target_flags "$target")
	in_root -C "$SRC/tools/micro-bench" "$rustc" --target "$target" "${MICRO_BENCH_FLAGS[@]}" "${flags[@]}" --edition 2021 -Dwarnings -L "$CORE" "$@"
}

# Sets MICRO_BENCH to the directory of the payloads: micro-bench-aarch64.flat, an image in the
# format of Linux, and micro-bench-x86_64.elf, which starts by PVH; the first also as .elf, for a
# debugger.
micro_bench_dir() { MICRO_BENCH=${BUILD:-}/micro-bench; }

build_micro_bench() {
	local target arch out args
	micro_bench_dir
	for target in "${MICRO_BENCH_TARGETS[@]}"; do
		arch=${target%%-*}
		out=$MICRO_BENCH/$target
		mkdir -p "$out"
		micro_bench_core "$target"
		micro_bench_rustc rustc "$target" --crate-name micro_bench_model --crate-type rlib --out-dir "$out" model/src/lib.rs
		args=(-Clinker=ld.lld -Clinker-flavor=ld.lld -Clink-arg=--script="$SRC/tools/micro-bench/payload/$arch.ld"
			-Clink-arg=--gc-sections -Clink-arg=--fatal-warnings)
		if [ "$arch" = aarch64 ]; then args+=(-Clink-arg=-pie -Clink-arg=--no-dynamic-linker -Clink-arg=-znorelro); fi
		micro_bench_rustc rustc "$target" --crate-name micro_bench --crate-type bin \
			--extern micro_bench_model="$out/libmicro_bench_model.rlib" "${args[@]}" \
			-o "$MICRO_BENCH/micro-bench-$arch.elf" payload/main.rs
	done
	in_root llvm-objcopy -O binary "$MICRO_BENCH/micro-bench-aarch64.elf" "$MICRO_BENCH/micro-bench-aarch64.flat"
	build_adi_guest
}

# Cargo knows nothing of the payload.
micro_bench_rustfmt() {
	local files
	mapfile -t files < <(cd "$SRC/tools/micro-bench/payload" && find . -name '*.rs')
	in_root -C "$SRC/tools/micro-bench/payload" rustfmt --check --edition 2021 --config-path "$SRC/rustfmt.toml" "${files[@]}"
	adi_guest_rustfmt
}

# Wants the crates that build_micro_bench has made.
micro_bench_clippy() {
	local target out
	micro_bench_dir
	for target in "${MICRO_BENCH_TARGETS[@]}"; do
		out=$MICRO_BENCH/$target
		micro_bench_core "$target"
		micro_bench_rustc clippy-driver "$target" --crate-name micro_bench --crate-type bin --emit metadata \
			--extern micro_bench_model="$out/libmicro_bench_model.rlib" -o "$out/clippy.rmeta" payload/main.rs
	done
	adi_guest_clippy
}

# The program that runs the payloads; it lives in the root, where QEMU is.
micro_bench_program() { printf '%s\n' "$BUILD/target/$RUST_TARGET/release/micro-bench"; }

micro_bench_checks() {
	micro_bench_dir
	in_root "$(micro_bench_program)" check --payloads "$MICRO_BENCH" "$@"
}
