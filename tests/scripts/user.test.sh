# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An ordinary user sets up. The account is one of a Debian system that exists for this test only:
# the root of the guests as the root of a mount namespace, with another /etc/passwd. The user's home
# may be entered by nobody else, and the administrator's programs are not in the PATH. What is made
# is a root with one package; the rest of it is made in the same way.

test_an_ordinary_user_sets_up() {
	local uri mirror=
	[ "$EUID" = 0 ] || skip "it is run by one"
	CACHE=$DIR/cache
	unset SIOV_CHOSEN
	cache_init
	for uri in ${SIOV_MIRROR:-$(archive_mirrors)}; do
		if archive_open "$uri"; then mirror=$uri; break; fi
	done
	[ -n "$mirror" ] || skip "no mirror answers"
	checkout_copy "$DIR/checkout"
	"${NS[@]}" "$SRC/tests/scripts/as-new-user" "$ROOT" "$DIR" true || skip "no user may have namespaces here"
	expect_exit 0 "this is the user's root" "${NS[@]}" "$SRC/tests/scripts/as-new-user" "$ROOT" "$DIR" \
		env SIOV_MIRROR="$mirror" SIOV_KERNEL="$KERNEL" bash -c '
			. checkout/scripts/lib/common.sh
			load_versions
			PACKAGES=(busybox-static) EXACT=()
			[ "$CACHE" = "$HOME/.cache/siov-rs" ]
			host_check
			cache_init
			root_ensure
			in_root busybox echo "this is the user'"'"'s root"
			rm -rf "$STEP_LOGS"
			cache_remove "$CACHE"/root-*
		'
	# Nothing of the account is left.
	refuse getent passwd siov-rs-test
	refuse grep -q siov-rs-test "$ROOT/etc/passwd" "$ROOT/etc/subuid"
}
