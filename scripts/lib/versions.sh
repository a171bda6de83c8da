# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which versions the root gets: those that scripts/versions pins; where the mirror no longer has
# them, the newest of the series, if they build and run; else the pinned ones from the archive's
# past. What was found is kept until scripts/versions changes.

versions_file() { printf '%s/versions-%s-%s\n' "$CACHE" "$KERNEL" "$(sha256sum <"$SRC/scripts/versions" | cut -c1-16)"; }

# versions_missing HAVE: the pairs of EXACT that are not among the lines of HAVE.
versions_missing() {
	local pair
	for pair in "${EXACT[@]}"; do
		grep -qxF "$pair" <<<"$1" || printf '%s\n' "$pair"
	done
}

# versions_newest HAVE: "RELEASE VERSION" of the newest kernel of the series $KERNEL and our flavour
# of which HAVE, lines PACKAGE=VERSION, has all packages.
versions_newest() {
	local have=$1 pair release version pattern best=
	pattern="^linux-binary-unsigned-(${KERNEL//./\\.}(\\.[0-9]+)?\\+${LOCALVERSION#+})=(.*)$"
	pattern=${pattern/-amd64/[0-9.]*-amd64}
	while read -r pair; do
		[[ $pair =~ $pattern ]] || continue
		release=${BASH_REMATCH[1]} version=${BASH_REMATCH[3]}
		if [ -n "$best" ] && dpkg --compare-versions "$version" le "${best#* }"; then continue; fi
		if [ "$(grep -cxF -e "linux-modules-$release=$version" -e "linux-headers-$release=$version" \
			-e "linux-source-$KERNEL=$version" -e "linux-config-$KERNEL=$version" <<<"$have")" = 4 ]; then
			best="$release $version"
		fi
	done <<<"$have"
	printf '%s\n' "$best"
}

# All that ARCHIVE has of the packages in question.
versions_have() {
	local names
	mapfile -t names < <(archive_apt apt-cache pkgnames "linux-" | grep -E "^linux-(binary-unsigned|modules|headers)-${KERNEL//./\\.}[.+]")
	archive_versions "${names[@]}" "linux-source-$KERNEL" "linux-config-$KERNEL" rustc qemu-system-x86
}

# versions_propose HAVE: what to try in place of scripts/versions, as lines for it to read. Fails if
# the series has gone.
versions_propose() {
	local newest release version gcc missing
	newest=$(versions_newest "$1")
	[ -n "$newest" ] || return
	release=${newest% *} version=${newest#* }
	printf '# In place of scripts/versions, which the mirror does not have any more.\n'
	printf '%s=%q\n' KREL "$release" KERNEL_VERSION "$version"
	missing=$(versions_missing "$1")
	if grep -q '^rustc=' <<<"$missing"; then printf '%s=%q\n' RUSTC_VERSION "$(archive_candidate rustc)"; fi
	if grep -q '^qemu-' <<<"$missing"; then printf '%s=%q\n' QEMU_VERSION "$(archive_candidate qemu-system-x86)"; fi
	gcc=$(archive_apt apt-cache depends "linux-headers-$release" | sed -n 's/.*Depends: \(gcc-[0-9]*\)-for-host$/\1/p')
	if [ -n "$gcc" ]; then printf '%s=%q\n' CC "x86_64-linux-gnu-$gcc"; fi
}

# versions_try FILE RELEASE: with the versions of FILE, whether all is built, with equal crate
# hashes, and a guest loads the modules. The answer is in STEP_STATUS.
versions_try() {
	local module args=(--append 'intel_iommu=off intremap=off')
	for module in iommu_aux mdev vfio_iommu_type1 siov_testdev kvm vtd; do args+=(--module "$module"); done
	step_run "trying $2: built, and loaded in a guest" env SIOV_CHOSEN="$1" SIOV_CACHE="$CACHE" \
		SIOV_MIRROR="$MIRROR" "$BASH" "$SRC/scripts/vm" --kernel "$KERNEL" "${args[@]}" -- true
	if [ "$STEP_STATUS" != 0 ]; then step_show_failure; fi
}

# Sets MIRROR, and the versions if they have to be others. To be called if there is no root yet.
versions_choose() {
	local uri have newest file answering=() log='' pair
	if [ -z "${SIOV_MIRROR:-}" ] && [ -z "$(archive_mirrors)" ] && [ "$EUID" = 0 ]; then
		step "package lists of this machine" apt-get update
	fi
	for uri in ${SIOV_MIRROR:-$(archive_mirrors)}; do
		archive_open "${uri%/}" || { log=$ARCHIVE/log; continue; }
		have=$(versions_have)
		answering+=("$MIRROR")
		if [ -z "$(versions_missing "$have")" ]; then return; fi
	done
	versions_answers "$log" "${answering[@]}"
	while read -r pair; do note "no mirror has this any more: $pair"; done < <(versions_missing "$have")
	if [ -n "${SIOV_CHOSEN:-}" ]; then versions_gone; fi
	file=$(versions_file)
	for uri in "${answering[@]}"; do
		archive_open "$uri" || continue
		have=$(versions_have)
		newest=$(versions_newest "$have")
		[ -n "$newest" ] || continue
		note "$uri has ${newest% *}, with which this checkout has not been tested"
		versions_propose "$have" >"$file.new"
		versions_try "$file.new" "${newest% *}"
		if [ "$STEP_STATUS" = 0 ]; then
			mv "$file.new" "$file"
			load_versions
			note "it works, and is used from now on; remove $file to look again"
			return
		fi
		rm -f "$file.new"
		break
	done
	versions_past
}

# versions_answers LOG URI...: leaves unless a mirror has answered.
versions_answers() {
	if [ $# -gt 1 ]; then return; fi
	if [ -z "$1" ]; then
		die "$E_MIRROR" "this machine's apt uses no Debian archive" \
			"set SIOV_MIRROR to the URI of a mirror that has ${SUITES[*]}"
	fi
	grep -E '^(Err|E|W):' "$1" | head -n 5 >&2 || true
	die "$E_MIRROR" "no answer, or not all of ${SUITES[*]}, from: ${SIOV_MIRROR:-$(archive_mirrors | tr '\n' ' ')}" \
		"check the network, or set SIOV_MIRROR to the URI of another mirror"
}

# The pinned versions, from the archive as it was.
versions_past() {
	local uri=${SIOV_SNAPSHOT:-http://snapshot.debian.org/archive/debian}/$SNAPSHOT
	note "looking for the pinned versions in $uri"
	if archive_open "$uri" && [ -z "$(versions_missing "$(versions_have)")" ]; then return; fi
	versions_gone
}

versions_gone() {
	die "$E_VERSION" "neither a mirror nor the archive of the past has the versions that scripts/versions pins, and no newer ones work" \
		"set SIOV_MIRROR or SIOV_SNAPSHOT to the URI of an archive that has them, or pin other versions there"
}
