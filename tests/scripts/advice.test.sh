# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A machine or a user that lacks something is told at once, and what to do.

# A checkout at $1, as far as the set-up is concerned.
checkout_copy() {
	mkdir -p "$1"
	cp -r "$SRC/scripts" "$SRC/Cargo.lock" "$1/"
}

# as_user COMMAND...: as an account without rights and without a set-up of its own.
as_user() {
	[ "$EUID" = 0 ] || { "$@"; return; }
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all env -i PATH=/usr/bin:/bin HOME="$DIR" "$@"
}

test_a_path_with_a_space_is_refused() {
	checkout_copy "$DIR/a b"
	expect_exit 2 "move it to another directory" "$DIR/a b/scripts/setup"
}

test_a_path_with_a_colon_is_refused() {
	checkout_copy "$DIR/a:b"
	expect_exit 2 "move it to another directory" "$DIR/a:b/scripts/build"
	expect_exit 2 "set SIOV_CACHE to another directory" env SIOV_CACHE="$DIR/c:d" "$SRC/scripts/setup"
}

test_without_HOME_it_is_that_of_the_account() {
	local home
	home=$(getent passwd "$EUID" | cut -d: -f6)
	[ "$(env -u HOME -u SIOV_CACHE -u XDG_CACHE_HOME "$BASH" -c '. "$1/scripts/lib/common.sh" && echo "$CACHE"' _ "$SRC")" = "$home/.cache/siov-rs" ]
}

test_an_account_without_a_home_is_told_of_SIOV_CACHE() {
	checkout_copy "$DIR/checkout"
	expect_exit 4 "set SIOV_CACHE" as_user env -u HOME "$BASH" -c '. "$1/scripts/lib/common.sh" && cache_init' _ "$DIR/checkout"
}

test_a_cache_of_another_user_is_told() {
	if [ "$EUID" != 0 ]; then skip "there is no other user to be"; fi
	checkout_copy "$DIR/checkout"
	mkdir -p "$DIR/cache/locks"
	expect_exit 4 "set SIOV_CACHE" as_user SIOV_CACHE="$DIR/cache" "$BASH" -c '. "$1/scripts/lib/common.sh" && cache_init' _ "$DIR/checkout"
}

test_a_machine_without_apt_is_told() {
	have() { [ "$1" != apt-get ] && command -v "$1" >/dev/null; }
	expect_exit "$E_TOOL" "apt is missing" host_packages
}

test_any_shell_runs_the_scripts() {
	local script
	for script in setup build test shell install uninstall docs; do
		sh "$SRC/scripts/$script" --help | grep "^Usage: scripts/$script"
		bash --posix "$SRC/scripts/$script" --help | grep "^Usage: scripts/$script"
	done
}

test_programs_of_the_administrator_are_found() {
	[ "$(env PATH=/usr/bin:/bin "$BASH" -c '. "$1/scripts/lib/common.sh" && [[ :$PATH: = *:/usr/sbin:* ]] && echo yes' _ "$SRC")" = yes ]
}

test_a_user_without_namespaces_is_told_by_whom_they_are_forbidden() {
	sysctl() { [ "$2" = kernel.unprivileged_userns_clone ] && echo 0; }
	[ "$(host_namespace_fix)" = "sysctl kernel.unprivileged_userns_clone=1" ]
	sysctl() { [ "$2" = kernel.apparmor_restrict_unprivileged_userns ] && echo 1; }
	[ "$(host_namespace_fix)" = "sysctl kernel.apparmor_restrict_unprivileged_userns=0" ]
	sysctl() { return 1; }
	have() { false; }
	[ "$(host_namespace_fix)" = "apt-get install uidmap" ]
	have() { true; }
	[[ $(host_namespace_fix) = "usermod --add-subuids "* ]]
}
