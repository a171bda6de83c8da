# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Modules of the kernel's samples/, which the shipped kernel lacks, built in the root out of a copy of the
# prepared tree's source, unchanged.

# sample_build FOLDER NAME: sets SAMPLE_FILE.
sample_build() {
	local dir=$BUILD/samples/$1 name=$2
	mkdir -p "$dir"
	cp -u "$TREE/samples/$1"/*.[ch] "$dir/"
	printf 'obj-m += %s.o\n' "$name" >"$dir/$name.kbuild"
	cat "$dir"/*.kbuild >"$dir/Kbuild"
	in_root make -C "$TREE" "${TOOLS[@]}" M="$dir" modules
	SAMPLE_FILE=$dir/$name.stripped.ko
	in_root strip --strip-debug -o "$SAMPLE_FILE" "$dir/$name.ko"
}
