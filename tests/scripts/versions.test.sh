# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A mirror that has the pinned versions, one that has moved on, and one that fails in the middle of
# a download; with archives of this test's own, which apt reads as it reads Debian's.

# archive_mock DIR PACKAGE=VERSION...: an archive with SUITES, all of it in the first one.
archive_mock() {
	local dir=$1 suite pair lists
	shift
	mkdir -p "$dir/pool"
	for suite in "${SUITES[@]}"; do
		lists=$dir/dists/$suite/main/binary-amd64
		mkdir -p "$lists"
		: >"$lists/Packages"
		if [ "$suite" = "${SUITES[0]}" ]; then
			for pair; do archive_mock_package "$dir" "$pair" >>"$lists/Packages"; done
		fi
		archive_mock_release "$dir/dists/$suite" "$suite"
	done
}

# A package that holds nothing; base is an essential one.
archive_mock_package() {
	local name=${2%%=*} version=${2#*=} tree=$1/tree file
	file=pool/${name}_${version//:/%3a}_all.deb
	mkdir -p "$tree/DEBIAN"
	{
		printf 'Package: %s\nVersion: %s\nArchitecture: all\n' "$name" "$version"
		printf 'Maintainer: a test <test@invalid>\nDescription: %s\n' "$name"
		if [ "$name" = base ]; then printf 'Essential: yes\n'; fi
	} >"$tree/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$tree" "$1/$file" >&2
	cat "$tree/DEBIAN/control"
	printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$1/$file")" "$(sha256sum <"$1/$file" | cut -d' ' -f1)"
}

archive_mock_release() {
	local list=main/binary-amd64/Packages
	{
		printf 'Origin: Debian\nLabel: Debian\nSuite: %s\nCodename: %s\n' "$2" "$2"
		printf 'Date: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n' "$(date -Ru)"
		printf ' %s %s %s\n' "$(sha256sum <"$1/$list" | cut -d' ' -f1)" "$(stat -c %s "$1/$list")" "$list"
	} >"$1/Release"
}

# kernel_of RELEASE VERSION: the packages of a kernel.
kernel_of() {
	printf '%s\n' "linux-binary-unsigned-$1=$2" "linux-modules-$1=$2" "linux-headers-$1=$2" \
		"linux-source-$KERNEL=$2" "linux-config-$KERNEL=$2"
}

# A cache and a matrix that are this test's, whatever scripts/versions pins today.
versions_begin() {
	have apt-get || skip "no apt"
	CACHE=$DIR/cache KERNEL=7.3 DEBUG='' ARCHIVE_TRUSTED=1
	unset SIOV_CHOSEN SIOV_MIRROR SIOV_KREL
	SIOV_SNAPSHOT=file:$DIR/past
	load_versions
	cache_init
	KREL=7.3.4+deb13-amd64 KERNEL_VERSION=7.3.4-1
	EXACT=()
	mapfile -t EXACT < <(kernel_of "$KREL" "$KERNEL_VERSION")
	EXACT+=(rustc=1.85 qemu-system-x86=1:11)
	SIOV_MIRROR=file:$DIR/mirror
}

# What the mirror has after the kernel team's next upload: the point release, one that is not yet
# complete, another flavour, and the next series.
moved_on() {
	local pairs
	mapfile -t pairs < <(
		kernel_of 7.3.9+deb13-amd64 7.3.9-1
		kernel_of 7.3.10+deb13-amd64 7.3.10-1
		kernel_of 7.3.11+deb13-amd64 7.3.11-1 | grep -v linux-modules
		kernel_of 7.3.12+deb13-cloud-amd64 7.3.12-1
		kernel_of 7.4.1+deb13-amd64 7.4.1-1 | sed 's/7\.3=/7.4=/'
	)
	archive_mock "$DIR/mirror" "${pairs[@]}" rustc=1.85 qemu-system-x86=1:12
}

test_a_mirror_with_the_pinned_versions_is_used() {
	versions_begin
	archive_mock "$DIR/mirror" "${EXACT[@]}"
	versions_try() { echo "tried $2"; exit 1; }
	versions_choose
	[ "$MIRROR" = "file:$DIR/mirror" ]
	[ ! -e "$(versions_file)" ]
}

test_a_mirror_that_has_moved_on_gives_the_newest_complete_release() {
	versions_begin
	moved_on
	versions_try() {
		[ "$2" = 7.3.10+deb13-amd64 ] && grep -qx 'KERNEL_VERSION=7.3.10-1' "$1" && STEP_STATUS=0
	}
	versions_choose >"$DIR/said"
	cat "$DIR/said"
	grep -q "no mirror has this any more: linux-headers-7.3.4+deb13-amd64=7.3.4-1" "$DIR/said"
	grep -q "has 7.3.10+deb13-amd64, with which this checkout has not been tested" "$DIR/said"
	[ "$KREL" = 7.3.10+deb13-amd64 ] && [ "$KERNEL_VERSION" = 7.3.10-1 ]
	# The rest is as it was pinned, where the mirror has it.
	[ "$QEMU_VERSION" = 1:12 ]
	refuse grep -q RUSTC_VERSION "$(versions_file)"
	[[ " ${PACKAGES[*]} " = *" linux-modules-7.3.10+deb13-amd64 "* ]]
	# So it stays, without a question to a mirror.
	[ "$(unset KREL; load_versions; echo "$KREL")" = 7.3.10+deb13-amd64 ]
}

test_a_release_that_does_not_work_gives_way_to_the_archive_of_the_past() {
	versions_begin
	moved_on
	archive_mock "$DIR/past/$SNAPSHOT" "${EXACT[@]}"
	versions_try() { STEP_STATUS=1; }
	versions_choose
	[ "$MIRROR" = "file:$DIR/past/$SNAPSHOT" ]
	[ "$KREL" = 7.3.4+deb13-amd64 ]
	[ ! -e "$(versions_file)" ]
}

test_a_series_that_has_gone_is_taken_from_the_archive_of_the_past() {
	versions_begin
	archive_mock "$DIR/mirror" rustc=1.85
	archive_mock "$DIR/past/$SNAPSHOT" "${EXACT[@]}"
	versions_try() { echo "tried $2"; exit 1; }
	versions_choose
	[ "$MIRROR" = "file:$DIR/past/$SNAPSHOT" ]
}

test_without_any_of_them_nothing_is_begun() {
	versions_begin
	moved_on
	versions_try() { STEP_STATUS=1; }
	root_make() { echo "a root was begun"; }
	expect_exit "$E_VERSION" "set SIOV_MIRROR or SIOV_SNAPSHOT" root_ensure
	refuse grep -q 'a root was begun' "$DIR/output"
}

test_a_mirror_that_does_not_answer_is_named() {
	versions_begin
	SIOV_MIRROR="http://127.0.0.1:9/debian"
	expect_exit "$E_MIRROR" "no answer" versions_choose
}

test_a_download_goes_on_where_it_was_interrupted() {
	local url name
	versions_begin
	archive_mock "$DIR/mirror" base=1 apt=1 one=1 two=1 three=1 four=1
	PACKAGES=(one two three four)
	in_root -b "$DIR" python3 "$SRC/tests/scripts/failing-mirror" "$DIR/mirror" "$DIR/port" "$DIR/requests" 3 &
	while [ ! -s "$DIR/port" ]; do kill -0 $!; sleep 0.1; done
	url=http://127.0.0.1:$(cat "$DIR/port")
	archive_open "$url"
	expect_exit "$E_MIRROR" "run the same command again" archive_download "$DIR/downloads"
	[ "$(find "$DIR/downloads" -maxdepth 1 -name '*.deb' | wc -l)" = 3 ]
	: >"$DIR/requests"
	touch "$DIR/port.works"
	archive_download "$DIR/downloads"
	cat "$DIR/requests"
	[ "$(find "$DIR/downloads" -maxdepth 1 -name '*.deb' | wc -l)" = 6 ]
	[ "$(grep -c '\.deb$' "$DIR/requests")" = 3 ]
}

test_packages_of_different_versions_are_no_kernel() {
	versions_begin
	local have
	have=$(kernel_of 7.3.5+deb13-amd64 7.3.5-1 | sed 's/linux-source-7.3=.*/linux-source-7.3=7.3.6-1/')
	[ -z "$(versions_newest "$have")" ]
	have=$(kernel_of 7.3.5+deb13-amd64 7.3.5-1)
	[ "$(versions_newest "$have")" = "7.3.5+deb13-amd64 7.3.5-1" ]
	# A series is not the beginning of another one's name.
	have=$(kernel_of 7.30.5+deb13-amd64 7.30.5-1)
	[ -z "$(versions_newest "$have")" ]
}
