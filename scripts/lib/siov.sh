# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Where the shell ends: `siov`, the program of tools/harness, is what scripts/test, bench, vm and
# demo run. It gets what was set up here as SIOV_* variables, and calls scripts/lib/step for what
# only the shell knows how to do. Documentation/harness.rst describes both.

# siov COMMAND ARGS...: sets up, builds the program and becomes it.
siov() {
	local command=$1 list=
	shift
	siov_options "$@"
	exec 3>&1
	if [ -n "$list" ]; then exec >&2; fi	# a list stands alone
	setup_ensure
	build_enter
	build_locked step "test runner" build_siov
	setup_export
	# exec passes by the trap that would do it.
	if [ -n "$STEP_LOGS" ]; then rm -rf "$STEP_LOGS"; fi
	exec "$BUILD/target/$RUST_TARGET/release/siov" "$command" "$@" >&3 3>&-
}

# What has to be known before anything is set up. The program reads all options itself.
siov_options() {
	while [ $# -gt 0 ]; do
		case $1 in
		--) break ;;
		--list) list=1 ;;
		esac
		common_option "$@"
		shift $((SHIFT > 0 ? SHIFT : 1))
	done
	load_versions
}
