# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The Debian archive: what a mirror has, before anything is made of it, and downloads. Both by apt
# with state of its own in the cache; the machine's is not touched.

ARCHIVE_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
ARCHIVE_TRUSTED=	# for archives of tests, which nobody signs

# The archives as this machine's apt knows them: every Debian archive it uses, one per line.
archive_mirrors() {
	local uri
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | sort -u |
		while read -r uri; do
			case $uri in
			mirror+file:*) sed 's/[[:space:]].*//;/^#/d' "/${uri#mirror+file:/}" 2>/dev/null ;;
			*) printf '%s\n' "${uri%/}" ;;
			esac
		done | sort -u
}

# The lines of sources.list for the archive $1.
archive_sources() {
	local suite
	for suite in "${SUITES[@]}"; do
		printf 'deb%s %s %s main\n' "${ARCHIVE_TRUSTED:+ [trusted=yes]}" "$1" "$suite"
	done
}

# Options of apt, for ours and for that of the root. The Release file of a frozen mirror has
# expired, hence no check of Valid-Until; its signature is checked as ever. A proxy is this
# machine's.
archive_options() {
	cat <<-'END'
		Acquire::Check-Valid-Until "false";
		Acquire::Retries "3";
		Acquire::Languages "none";
		APT::Install-Recommends "false";
	END
	apt-config dump | grep -iE '^Acquire::(http|https|ftp)::(Proxy|[^ ]*::Proxy|CAInfo)[^ ]* ' || true
}

# Takes the archive $1, as MIRROR, and reads its lists of packages. Returns whether it answers, and
# has all of SUITES.
archive_open() {
	local suite lock
	MIRROR=$1
	ARCHIVE=$CACHE/archive-$(hash_of "$MIRROR" "${SUITES[*]}")
	cache_lock_open "${ARCHIVE##*/}"
	flock -s "$LOCK_FD"	# nobody prunes it
	exec {lock}>>"$CACHE/locks/${ARCHIVE##*/}.update"
	flock -x "$lock"
	mkdir -p "$ARCHIVE"/{lists,archives}/partial
	archive_sources "$MIRROR" >"$ARCHIVE/sources.list"
	root_preferences >"$ARCHIVE/preferences"
	archive_config >"$ARCHIVE/apt.conf"
	archive_apt apt-get update >"$ARCHIVE/log" 2>&1 || true
	exec {lock}>&-
	for suite in "${SUITES[@]}"; do
		grep -qE "^(Get|Hit):.* $suite (InRelease|Release)( |$)" "$ARCHIVE/log" || return 1
		if grep -qE "^Err:.* $suite(/main)? " "$ARCHIVE/log"; then return 1; fi
	done
}

archive_config() {
	cat <<-END
		Dir "$ARCHIVE/";
		Dir::State "$ARCHIVE";
		Dir::State::status "/dev/null";
		Dir::Cache "$ARCHIVE";
		Dir::Etc "$ARCHIVE";
		Dir::Etc::Parts "/dev/null";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		Dir::Etc::Trusted "$ARCHIVE_KEYS";
		Dir::Etc::TrustedParts "/dev/null";
		Dir::Bin::Methods "/usr/lib/apt/methods";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Sandbox::User "root";
		APT::Get::Assume-Yes "true";
		Acquire::http::Timeout "20";
		Acquire::https::Timeout "20";
		Debug::NoLocking "true";
	END
	archive_options
}

# archive_apt PROGRAM ARGS...
archive_apt() { env APT_CONFIG="$ARCHIVE/apt.conf" LC_ALL=C "$@"; }

# archive_versions NAME...: a line PACKAGE=VERSION for each version that the archive has.
archive_versions() {
	archive_apt apt-cache madison "$@" 2>/dev/null | awk -F ' *[|] *' '{ sub(/^ +/, "", $1); print $1 "=" $2 }' | sort -u
}

# archive_candidate NAME: the version that apt would install.
archive_candidate() { archive_apt apt-cache policy "$1" | sed -n 's/^  Candidate: //p'; }

# archive_download DIR: the packages of the root and all that they need. Those that an interrupted
# run has got are not got again.
archive_download() {
	mkdir -p "$1/partial"
	archive_apt apt-get -o Dir::Cache::Archives="$1" --download-only install '?essential' apt "${PACKAGES[@]}" && return
	if grep -qE 'Unable to locate package|has no installation candidate|Version .* was not found' "${STEP_LOG:-/dev/null}"; then
		echo "$MIRROR does not have all PACKAGES of scripts/versions."
		exit "$E_VERSION"
	fi
	echo "Downloads from $MIRROR failed. What has come is kept: run the same command again."
	exit "$E_MIRROR"
}
