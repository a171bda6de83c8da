# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The crates of Cargo.lock, fetched once with the root's own cargo. Kbuild and cargo then build
# offline.

crates_key() { hash_of "$(sha256sum <"$SRC/Cargo.lock")" "$(hash_recipe crates_make)"; }

# The host's certificates, because a site may have its own; the root's serve a host that has none.
crates_ca() {
	local file
	for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
		"$ROOT/etc/ssl/certs/ca-certificates.crt"; do
		if [ -s "$file" ]; then
			cat "$file"
			return
		fi
	done
}

# A host with a cargo configuration of its own (a registry mirror) expects it to be followed.
crates_make() {
	local out=$1 name env=()
	mkdir "$out/home"
	for name in config.toml config; do
		if [ -e "${CARGO_HOME:-$HOME/.cargo}/$name" ]; then
			cp "${CARGO_HOME:-$HOME/.cargo}/$name" "$out/home/config.toml"
			break
		fi
	done
	crates_ca >"$out/ca.crt"
	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
		if [ -n "${!name:-}" ]; then env+=(-e "$name=${!name}"); fi
	done
	in_root -C "$SRC" "${env[@]}" -e CARGO_HOME="$out/home" -e CARGO_HTTP_CAINFO="$out/ca.crt" \
		cargo vendor --locked --versioned-dirs "$out/crates" || {
		echo "The crates of Cargo.lock could not be fetched: see the reason above."
		echo "Check the network and proxy settings; a registry mirror belongs into ~/.cargo/config.toml."
		exit "$E_MIRROR"
	}
	rm -rf "${out:?}/home" "$out/ca.crt"
}

# Sets VENDOR.
crates_ensure() {
	cache_ensure vendor "$(crates_key)" 1 "crates of Cargo.lock" crates_make
	VENDOR=$ENTRY/crates
}
