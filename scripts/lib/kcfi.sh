# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Whether the functions that C code calls would pass the checks of a kernel with CONFIG_CFI:
# tools/kcfi-check compares what both compilers of the root find. No such kernel is needed.

# The number of functions that are found today, roughly: fewer, and the check has lost sight of
# them.
KCFI_AT_LEAST=120

# The flags of the kernel's Makefile for CONFIG_CFI with CONFIG_RUST, and the listings that are
# compared.
kcfi_rustflags() {
	printf '%s ' -Zsanitizer=kcfi -Zsanitizer-cfi-normalize-integers -Zmerge-functions=disabled \
		-Zmir-opt-level=0 --emit=mir --emit=llvm-ir
	# The kernel crate of the tree is built without.
	if in_root rustc -C help | grep -q unsafe-allow-abi-mismatch; then
		printf '%s' -Cunsafe-allow-abi-mismatch=sanitizer,sanitizer-cfi-normalize-integers
	fi
}

# Places where bindgen's type differs from the prototype; one that differs no more has to go.
kcfi_exceptions() {
	# For a parameter that is a function pointer and may be NULL, rustc has another type than
	# clang. C code calls these by name only, so that nothing checks it.
	echo "iommu_aux_register_fault_handler()"
	echo "iommu_aux_unregister_fault_handler()"
	# The kernel crate gives enum irqreturn its name since 7.3.
	if [ "$KERNEL" = 7.2 ]; then
		echo "parameter 2 of request_threaded_irq()"
		echo "parameter 3 of request_threaded_irq()"
	fi
}

kcfi_check() {
	local out=$BUILD/kcfi flags exceptions exception args=()
	mkdir -p "$out"
	flags=$(kcfi_rustflags)
	in_root -C "$SRC" make -C "$TREE" "${TOOLS[@]}" M="$SRC" MO="$out" SIOV_VENDOR="$VENDOR" \
		KRUSTFLAGS="$flags" -j"$(nproc)" modules
	in_cargo build --locked --release -p kcfi-check
	exceptions=$(kcfi_exceptions)
	while read -r exception; do args+=(--except "$exception"); done <<<"$exceptions"
	in_root "$BUILD/target/release/kcfi-check" --verbose --at-least "$KCFI_AT_LEAST" "${args[@]}" \
		"$out" "$TREE" "$out-compared"
}
