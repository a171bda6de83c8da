# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The documentation: the book, and the comments of the workspace.

docs_dir() { printf '%s\n' "$BUILD/docs"; }

# The folder of Sphinx's own state is beside that of the pages, which are then just what a web
# server needs.
docs_build() {
	# What an interrupted run has left is not gone on with: its index is incomplete.
	if [[ -d $BUILD/docs.doctrees && ! -f $(docs_dir)/searchindex.js ]]; then
		rm -rf "$BUILD/docs.doctrees"
	fi
	in_root -C "$SRC" python3 -m sphinx -W --keep-going -q -b html -d "$BUILD/docs.doctrees" Documentation "$(docs_dir)"
}

# The comments of the workspace as cargo doc renders them, private items included; a warning is an
# error.
docs_comments() {
	local CARGO_ENV=(-e "RUSTDOCFLAGS=-D warnings")
	local doc=(doc --locked --no-deps --document-private-items --keep-going)
	# A library and a program of the guest tests have one name, so their pages are made in turn.
	in_cargo "${doc[@]}" --workspace --exclude siov-testdev
	in_cargo "${doc[@]}" -p siov-testdev
}

# Lines of comments that are too wide.
docs_width() { in_root -C "$SRC" python3 scripts/lib/comment-width; }
