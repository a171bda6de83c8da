# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Whether the functions that C code calls would pass the checks of a kernel with CONFIG_CFI: tools/kcfi-check
# compares what both compilers of the root find. No such kernel is needed.

# The flags of the kernel's Makefile for CONFIG_CFI with CONFIG_RUST, and the listings that are compared.
KCFI_RUSTFLAGS='-Zsanitizer=kcfi -Zsanitizer-cfi-normalize-integers -Zmerge-functions=disabled
	-Zmir-opt-level=0 --emit=mir --emit=llvm-ir'

# What C code calls by name only, so that nothing checks the type. rustc has another type than clang for a
# parameter that is a function pointer and may be NULL.
KCFI_EXCEPTIONS=(
	"iommu_aux_register_fault_handler()"
	"iommu_aux_unregister_fault_handler()"
)

# The number of functions that are found today, roughly: fewer, and the check has lost sight of them.
KCFI_AT_LEAST=120

kcfi_check() {
	local out=$BUILD/kcfi exception args=()
	mkdir -p "$out"
	in_root -C "$SRC" make -C "$TREE" "${TOOLS[@]}" M="$SRC" MO="$out" SIOV_VENDOR="$VENDOR" \
		KRUSTFLAGS="$(tr -s '[:space:]' ' ' <<<"$KCFI_RUSTFLAGS")" -j"$(nproc)" modules
	in_cargo build --locked --release -p kcfi-check
	for exception in "${KCFI_EXCEPTIONS[@]}"; do args+=(--except "$exception"); done
	in_root "$BUILD/target/release/kcfi-check" --verbose --at-least "$KCFI_AT_LEAST" "${args[@]}" \
		"$out" "$TREE" "$out/compared"
}
