# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Whether a system loads signed modules only, and signing. There, modules without a valid signature
# would take the place of the stock ones without being loaded: no VFIO at all.

# enforcement_reasons BASE RELEASE: why the system below BASE ("" for this one) refuses unsigned
# modules, now or from its next boot on; nothing if it does not.
enforcement_reasons() {
	local base=$1 release=$2 file text
	read -r text 2>/dev/null <"$base/sys/module/module/parameters/sig_enforce" || text=
	if [ "$text" = Y ]; then echo "the kernel enforces signatures (module.sig_enforce)"; fi
	text=$(grep -o '\[\(integrity\|confidentiality\)\]' "$base/sys/kernel/security/lockdown" 2>/dev/null || true)
	if [ -n "$text" ]; then echo "the kernel is locked down $text"; fi
	# Four bytes of attributes, then the value.
	file=$base/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
	if [ "$(tail -c 1 "$file" 2>/dev/null | od -An -tu1 | tr -d ' ')" = 1 ]; then echo "Secure Boot is on"; fi
	for file in "$base/etc/default/grub" "$base"/etc/default/grub.d/*.cfg "$base/etc/kernel/cmdline"; do
		text=$(grep -v '^[[:space:]]*#' "$file" 2>/dev/null | grep -oE 'module\.sig_enforce(=[1yY][^ "]*)?|lockdown=(integrity|confidentiality)' | head -n 1 || true)
		if [ -n "$text" ]; then echo "$file has $text"; fi
	done
	if grep -qsx CONFIG_MODULE_SIG_FORCE=y "$base/boot/config-$release" "$base/lib/modules/$release/config"; then
		echo "the kernel is built with CONFIG_MODULE_SIG_FORCE"
	fi
}

# enforcement_check BASE RELEASE: leaves if unsigned modules would be refused.
enforcement_check() {
	local reasons
	reasons=$(enforcement_reasons "$1" "$2")
	[ -z "$reasons" ] && return
	die "$E_FAIL" "${reasons//$'\n'/; }: unsigned modules would not be loaded, nor the stock ones in whose place they are" \
		"sign them: --sign KEY CERT, with a key that the machine's owner has enrolled (mokutil --import CERT, then boot)"
}

# enforcement_check_key BASE RELEASE CERT: leaves if signatures are enforced and the kernel does
# not know the key.
enforcement_check_key() {
	local id
	id=$(in_root openssl x509 -in "$3" -noout -ext subjectKeyIdentifier | sed -n 's/^ *\([0-9A-F:]*\)$/\1/p' | tr -d ': \n' | tr A-F a-f)
	[ -n "$id" ] || die "$E_USAGE" "--sign: $3 is no certificate with a subject key identifier"
	if [ -z "$(enforcement_reasons "$1" "$2")" ] || ! grep -qs ' asymmetri ' "$1/proc/keys"; then return; fi
	if ! grep -q " asymmetri .*: $id" "$1/proc/keys"; then
		die "$E_FAIL" "the kernel does not know the key of $3, and would refuse modules that are signed with it" \
			"mokutil --import $3, boot, and enrol it; then run this again"
	fi
}

# sign_modules KEY CERT FILE...: as the kernel's own build signs. A passphrase is in
# KBUILD_SIGN_PIN.
sign_modules() {
	local key=$1 cert=$2 file hash
	shift 2
	hash=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"/\1/p' "$TREE/.config")
	for file; do
		in_root -e KBUILD_SIGN_PIN="${KBUILD_SIGN_PIN:-}" "$TREE/scripts/sign-file" "${hash:-sha256}" "$key" "$cert" "$file"
		[ -n "$(install_kmod modinfo -F signer "$file")" ] || { echo "$file has no signature afterwards"; exit "$E_FAIL"; }
	done
}
