# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Building the checkout in the root, out of tree. One build directory per checkout and kernel:
#   modules/     what Kbuild makes, kernel modules at their source's path
#   target/      cargo's; programs for host and guest in target/$RUST_TARGET/release, QEMU plugins
#                in target/plugins/release

RUST_TARGET=x86_64-unknown-linux-gnu

# Sets BUILD.
build_enter() {
	[ -n "${BUILD:-}" ] && return
	local name
	name=build-$(hash_of "$SRC" "$ROOT" "$TREE")
	BUILD=$CACHE/$name
	BUILD_LOCK=$CACHE/locks/$name
	mkdir -p "$BUILD"
	printf '%s\n' "$SRC" >"$BUILD/checkout"
	basename "${TREE%/tree}" >"$BUILD/tree"
}

# Two makes in one directory break each other, and a guest must not take half-written modules. The
# program of tools/harness takes the same lock while it builds, and while it puts a guest together.
build_locked() { build_locked_by "$BUILD_LOCK" "$@"; }

# build_locked_by LOCK COMMAND...: the same with another file, for what nothing else reads.
build_locked_by() {
	local lock
	exec {lock}>>"$1"
	shift
	flock -x "$lock"
	"$@"
	flock -u "$lock"
	exec {lock}>&-
}

# Warnings are errors. Those that no compiler flag turns into errors (modpost, objtool) are found in
# the log; then the output goes, or the next run would skip the step that warned and call it good.
build_modules() {
	local out=$BUILD/modules log=$BUILD/modules.log
	mkdir -p "$out"
	in_root -C "$SRC" make -C "$TREE" "${TOOLS[@]}" M="$SRC" MO="$out" SIOV_VENDOR="$VENDOR" SIOV_COMMIT="$(build_commit)" \
		KCFLAGS=-Werror KRUSTFLAGS=-Dwarnings -j"$(nproc)" modules 2>&1 | tee "$log"
	kvm_link 2>&1 | tee -a "$log"
	kvm_link_livepatch
	if grep -iE '\bwarning:' "$log"; then
		echo "These warnings are errors here."
		rm -rf "$out"
		exit "$E_FAIL"
	fi
	layout_check
}

# What the modules say they were built from.
build_commit() { git -C "$SRC" describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown; }

# The kernel's own lints, in a build directory of their own.
build_clippy() {
	mkdir -p "$BUILD/clippy"
	in_root -C "$SRC" make -C "$TREE" "${TOOLS[@]}" M="$SRC" MO="$BUILD/clippy" SIOV_VENDOR="$VENDOR" \
		CLIPPY=1 KRUSTFLAGS=-Dwarnings -j"$(nproc)" modules
}

# Builds are offline, with the vendored crates.
in_cargo_config() {
	mkdir -p "$BUILD/cargo"
	cat >"$BUILD/cargo/config.toml" <<-END
		[source.crates-io]
		replace-with = "vendored-sources"
		[source.vendored-sources]
		directory = "$VENDOR"
		[net]
		offline = true
	END
}

# in_cargo ARGS...: the root's cargo on the checkout.
in_cargo() {
	in_cargo_config
	in_root -C "$SRC" -e CARGO_HOME="$BUILD/cargo" -e CARGO_TARGET_DIR="$BUILD/target" \
		"${CARGO_ENV[@]}" cargo "$@"
}

# Statically linked, because the guest has no libraries and the host may have an older libc.
build_programs() {
	local CARGO_ENV=(-e "RUSTFLAGS=-Dwarnings -Ctarget-feature=+crt-static")
	in_cargo build --locked --release --workspace --bins --target "$RUST_TARGET"
}

# The program behind scripts/test, bench, vm and demo. --workspace, because cargo would compile
# crates that several packages share again if it had other features to unite.
build_siov() {
	local CARGO_ENV=(-e "RUSTFLAGS=-Dwarnings -Ctarget-feature=+crt-static")
	in_cargo build --locked --release --workspace --bin siov --target "$RUST_TARGET"
}

# Packages that make a shared library: plugins of the root's QEMU, so linked against the root's
# libraries.
build_plugins() {
	local packages package args=()
	packages=$(in_cargo metadata --locked --no-deps --format-version 1 | in_root python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if any("cdylib" in target["crate_types"] for target in package["targets"]):
        print(package["name"])')
	for package in $packages; do args+=(-p "$package"); done
	[ ${#args[@]} = 0 ] && return
	local CARGO_ENV=(-e RUSTFLAGS=-Dwarnings)
	in_cargo build --locked --release --lib --target-dir "$BUILD/target/plugins" "${args[@]}"
}

build_target() {
	build_enter
	case $1 in
	modules) build_locked step "modules for $KREL${DEBUG:+ (debug)}" build_modules ;;
	programs) build_locked step "programs" build_programs ;;
	plugins) build_locked step "QEMU plugins" build_plugins ;;
	micro-bench) build_locked step "bare-metal payloads" build_micro_bench ;;
	all)
		build_target modules
		build_target programs
		build_target plugins
		build_target micro-bench
		;;
	*) usage_error "unknown target '$1'" ;;
	esac
}
