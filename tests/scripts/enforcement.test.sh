# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A system that loads signed modules only is recognized, and modules are signed for it.

ENFORCEMENT_VARIABLE=sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c

# system FILE CONTENTS: the file below $DIR/system.
system() {
	mkdir -p "$DIR/system/$(dirname "$1")"
	printf "$2" >"$DIR/system/$1"
}

# A system as Debian installs it.
system_open() {
	rm -rf "$DIR/system"
	system sys/module/module/parameters/sig_enforce 'N\n'
	system sys/kernel/security/lockdown '[none] integrity confidentiality\n'
	system "$ENFORCEMENT_VARIABLE" '\006\000\000\000\000'
	system etc/default/grub '# module.sig_enforce=1 lockdown=integrity\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'
	system "boot/config-$KREL" '# CONFIG_MODULE_SIG_FORCE is not set\n'
}

# expect_refusal TEXT: unsigned modules are refused for this reason.
expect_refusal() {
	expect_exit "$E_FAIL" "$1" enforcement_check "$DIR/system" "$KREL"
	grep -q -e '--sign KEY CERT' "$DIR/output"
	system_open
}

test_a_system_that_takes_unsigned_modules() {
	system_open
	enforcement_check "$DIR/system" "$KREL"
	# A directory in which an image is made.
	enforcement_check "$DIR" "$KREL"
}

test_each_way_to_enforce_signatures_is_recognized() {
	system_open
	system sys/module/module/parameters/sig_enforce 'Y\n'
	expect_refusal module.sig_enforce
	system sys/kernel/security/lockdown 'none [integrity] confidentiality\n'
	expect_refusal '[integrity]'
	system sys/kernel/security/lockdown 'none integrity [confidentiality]\n'
	expect_refusal '[confidentiality]'
	system "$ENFORCEMENT_VARIABLE" '\006\000\000\000\001'
	expect_refusal 'Secure Boot'
	system etc/default/grub 'GRUB_CMDLINE_LINUX="quiet module.sig_enforce=1"\n'
	expect_refusal 'module.sig_enforce=1'
	system etc/default/grub.d/harden.cfg 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX lockdown=integrity"\n'
	expect_refusal 'lockdown=integrity'
	system etc/kernel/cmdline 'root=/dev/vda1 module.sig_enforce\n'
	expect_refusal 'etc/kernel/cmdline'
	system "boot/config-$KREL" 'CONFIG_MODULE_SIG_FORCE=y\n'
	expect_refusal CONFIG_MODULE_SIG_FORCE
}

# A key and its certificate.
key_make() {
	in_root -C "$DIR" openssl req -new -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=key of $1/" \
		-addext keyUsage=digitalSignature -keyout "$DIR/$1.key" -out "$DIR/$1.pem" 2>/dev/null
}

test_modules_are_signed() {
	key_make one
	SIGN=("$DIR/one.key" "$DIR/one.pem")
	install_test_base
	install_modules "$BASE" kvm
	[ "$(install_kmod modinfo -F signer "$TO/mdev.ko")" = "key of one" ]
	[ "$(install_kmod modinfo -F sig_hashalgo "$TO/mdev.ko")" = sha256 ]
	# The signature is that of the file in front of it.
	in_root -C "$DIR" bash -euc '
		size=$(stat -c %s "$1")
		length=$((16#$(tail -c 32 "$1" | head -c 4 | od -An -tx1 | tr -d " \n")))
		head -c $((size - 40 - length)) "$1" >content
		tail -c $((40 + length)) "$1" | head -c "$length" >signature
		openssl cms -verify -inform DER -in signature -content content -binary -noverify -certfile one.pem -out /dev/null
		printf x | dd of=content bs=1 seek=5000 conv=notrunc status=none
		! openssl cms -verify -inform DER -in signature -content content -binary -noverify -certfile one.pem -out /dev/null
	' _ "$TO/mdev.ko"
}

test_a_key_that_the_kernel_does_not_know_is_refused() {
	local id
	key_make one
	key_make two
	system_open
	id=$(in_root openssl x509 -in "$DIR/one.pem" -noout -ext subjectKeyIdentifier | tail -n 1 | tr -d ' :' | tr A-F a-f)
	system proc/keys "0a80dd7c I------     1 perm 1f030000     0     0 asymmetri key of one: $id: X509.rsa ${id: -8} []\n"
	# Nothing is enforced.
	enforcement_check_key "$DIR/system" "$KREL" "$DIR/two.pem"
	printf 'Y\n' >"$DIR/system/sys/module/module/parameters/sig_enforce"
	enforcement_check_key "$DIR/system" "$KREL" "$DIR/one.pem"
	expect_exit "$E_FAIL" "mokutil --import" enforcement_check_key "$DIR/system" "$KREL" "$DIR/two.pem"
}
