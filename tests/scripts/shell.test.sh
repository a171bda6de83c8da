# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The command of the README builds a module in scripts/shell.

test_a_module_is_built_in_the_shell() {
	local command
	command=$(sed -n 's/^    \(make -C \$KDIR M=\$PWD\) MO=.*/\1/p' "$SRC/README.md")
	[ -n "$command" ]
	expose "$DIR"
	echo 'obj-m += hello.o' >"$DIR/Kbuild"
	cat >"$DIR/hello.c" <<-'END'
		#include <linux/module.h>
		MODULE_LICENSE("GPL");
		MODULE_DESCRIPTION("Nothing");
	END
	"$SRC/scripts/shell" --kernel "$KERNEL" ${DEBUG:+--debug="$DEBUG"} -- sh -ec "cd $DIR; $command modules" >"$DIR/made" 2>&1 || { cat "$DIR/made"; exit 1; }
	cat "$DIR/made"
	[ "$(install_kmod modinfo -F vermagic "$DIR/hello.ko" | cut -d' ' -f1)" = "$KREL" ]
	refuse grep -qi 'warning: the compiler differs' "$DIR/made"
	expect_exit 42 "" "$SRC/scripts/shell" --kernel "$KERNEL" ${DEBUG:+--debug="$DEBUG"} -- sh -c 'exit 42'
}
